package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/operate/admin/api"
)

// addressRoutes are those of domains and aliases.
func (s *Server) addressRoutes(m *http.ServeMux) {
	m.Handle("GET /v1/domains", handler(s.domains))
	m.Handle("POST /v1/domains", s.known(change(s.addDomain)))
	m.Handle("POST /v1/domains/set", s.known(change(s.setDomain)))
	m.Handle("POST /v1/domains/remove", s.known(change(s.removeDomain)))
	m.Handle("GET /v1/aliases", handler(s.aliases))
	m.Handle("GET /v1/aliases/show", s.known(s.showAlias))
	m.Handle("POST /v1/aliases", s.known(change(s.addAlias)))
	m.Handle("POST /v1/aliases/set", s.known(change(s.setAlias)))
	m.Handle("POST /v1/aliases/remove", s.known(change(s.removeAlias)))
}

// change reads a request, lets do make the change, and answers {}.
func change[T any](do func(context.Context, *T) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var request T
		if err := read(w, r, &request); err != nil {
			return err
		}
		if err := do(r.Context(), &request); err != nil {
			return directoryError(err)
		}
		return answer(w, struct{}{})
	}
}

// domains lists those of the directory, and with ?configured those of the configuration, too.
func (s *Server) domains(w http.ResponseWriter, r *http.Request) error {
	configured := map[string]bool{}
	if r.URL.Query().Has("configured") {
		for _, d := range s.set.Load().LocalDomains {
			if name, err := smtp.Domain(d); err == nil {
				configured[name] = true
			}
		}
	}
	page := func(after string, limit int) (page []*api.Domain) {
		known := map[string]bool{}
		for _, d := range s.o.Users.Domains(after, limit) {
			known[d.Name] = true
			page = append(page, &api.Domain{Name: d.Name, Separator: d.Separator,
				Configured: configured[d.Name], Created: api.At(d.Created),
				Changed: api.At(d.Changed)})
		}
		for name := range configured {
			if name > after && !known[name] {
				page = append(page, &api.Domain{Name: name, Configured: true,
					Separator: directory.DefaultSeparator})
			}
		}
		slices.SortFunc(page, func(a, b *api.Domain) int { return strings.Compare(a.Name, b.Name) })
		return page[:min(len(page), limit)]
	}
	return listing(s, w, r, page, func(d *api.Domain) (string, any) { return d.Name, d })
}

// addDomain refuses what the configuration relays on: which of the two is meant is for people to
// say.
func (s *Server) addDomain(ctx context.Context, d *api.DomainRequest) error {
	relays := s.set.Load().Relays
	if name, err := smtp.Domain(d.Name); err == nil && relays != nil && relays(name) {
		return api.Fail(api.ExitData,
			name+" is in relay.domains of the configuration: its mail is relayed on",
			"a domain's mail is either kept here or relayed on: take it out there first")
	}
	separator := directory.DefaultSeparator
	set(&separator, d.Separator)
	return s.o.Users.AddDomain(ctx, d.Name, separator)
}

func (s *Server) setDomain(ctx context.Context, d *api.DomainRequest) error {
	if d.Separator == nil {
		return api.Fail(api.ExitUsage, "there is nothing to change",
			"--separator is what a domain has")
	}
	return s.o.Users.SetDomain(ctx, d.Name, *d.Separator)
}

func (s *Server) removeDomain(ctx context.Context, d *api.DomainRequest) error {
	return s.o.Users.RemoveDomain(ctx, d.Name, d.All)
}

func (s *Server) aliases(w http.ResponseWriter, r *http.Request) error {
	return listing(s, w, r, s.o.Users.Aliases, func(a *directory.Alias) (string, any) {
		return a.Name, wireAlias(a)
	})
}

func (s *Server) showAlias(w http.ResponseWriter, r *http.Request) error {
	name, err := directory.CanonicalSender(r.URL.Query().Get("name"))
	if err != nil {
		return api.Fail(api.ExitData, err.Error(),
			`an alias is an address, or "@example.net" for what nobody in the domain has`)
	}
	a, ok := s.o.Users.Alias(name)
	if !ok {
		return directoryError(directory.ErrUnknownAlias)
	}
	return answer(w, wireAlias(a))
}

func wireAlias(a *directory.Alias) *api.Alias {
	return &api.Alias{Name: a.Name, Owner: a.Owner, Targets: a.Targets, Created: api.At(a.Created),
		Changed: api.At(a.Changed)}
}

func (s *Server) addAlias(ctx context.Context, a *api.AliasRequest) error {
	owner := ""
	set(&owner, a.Owner)
	return s.o.Users.AddAlias(ctx, a.Name, slices.Concat(a.Targets, a.Add), owner)
}

func (s *Server) setAlias(ctx context.Context, a *api.AliasRequest) error {
	return s.o.Users.EditAlias(ctx, a.Name, func(to []string, owner string) ([]string, string) {
		if a.Targets != nil {
			to = a.Targets
		}
		set(&owner, a.Owner)
		to = slices.DeleteFunc(slices.Clone(to), func(t string) bool { return has(a.Remove, t) })
		for _, t := range a.Add {
			if !has(to, t) {
				to = append(to, t)
			}
		}
		return to, owner
	})
}

// has finds an address whatever the case of its letters: nobody means two people by them.
func has(all []string, address string) bool {
	return slices.ContainsFunc(all, func(one string) bool {
		return strings.EqualFold(one, address)
	})
}

func (s *Server) removeAlias(ctx context.Context, a *api.AliasRequest) error {
	return s.o.Users.RemoveAlias(ctx, a.Name)
}
