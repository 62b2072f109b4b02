package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/postroad/postroad/cluster/secret"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailauth/dkim"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/signing"
)

// Keys is what the server needs of the life of signing keys; *signing.Life is one.
type Keys interface {
	List(after string, limit int) []*directory.SigningKey
	Of(domain string) []*directory.SigningKey
	Generate(ctx context.Context, r signing.Request) (*directory.SigningKey, error)
	Rotate(ctx context.Context, domain string) ([]*directory.SigningKey, error)
	Record(k *directory.SigningKey) (name string, r dkim.Record, err error)
	Check(ctx context.Context, k *directory.SigningKey) (signing.Finding, string)
	Activate(ctx context.Context, k *directory.SigningKey) error
	Retire(ctx context.Context, name string, force bool) (gone bool, err error)
}

// dkimRoutes are those of signing keys.
func (s *Server) dkimRoutes(m *http.ServeMux) {
	m.Handle("GET /v1/dkim", handler(s.signingKeys))
	m.Handle("GET /v1/dkim/show", s.known(s.showKeys))
	m.Handle("POST /v1/dkim", s.known(keyChange(s.generateKey)))
	m.Handle("POST /v1/dkim/check", s.known(keyChange(s.checkKeys)))
	m.Handle("POST /v1/dkim/rotate", s.known(keyChange(s.rotateKeys)))
	m.Handle("POST /v1/dkim/retire", s.known(keyChange(s.retireKey)))
}

// keyChange reads a request, lets do act on it, and answers the keys that it was about.
func keyChange(
	do func(context.Context, *api.DKIMRequest) ([]*api.SigningKey, error),
) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var request api.DKIMRequest
		if err := read(w, r, &request); err != nil {
			return err
		}
		keys, err := do(r.Context(), &request)
		if err != nil {
			return keyError(err)
		}
		return answer(w, api.SigningKeys{Keys: keys})
	}
}

// keyError gives refusals about keys their exit status.
func keyError(err error) error {
	switch {
	case errors.Is(err, secret.ErrNoKey):
		return api.Fail(api.ExitTemporary, err.Error(), "repeat it in a moment; `postroad cluster "+
			"status` shows which nodes run")
	case errors.Is(err, signing.ErrLastKey):
		return api.Fail(api.ExitData, err.Error(), "`postroad dkim rotate DOMAIN` makes another "+
			"one; `--force` takes it out, and the domain's mail is not signed any more")
	}
	return directoryError(err)
}

// signingKeys lists all keys.
func (s *Server) signingKeys(w http.ResponseWriter, r *http.Request) error {
	return listing(s, w, r, s.o.Keys.List, func(k *directory.SigningKey) (string, any) {
		return k.Name, wireKey(k)
	})
}

func wireKey(k *directory.SigningKey) *api.SigningKey {
	return &api.SigningKey{Domain: k.Domain(), Selector: k.Selector(), Tenant: k.Tenant,
		Algorithm: k.Algorithm, Bits: k.Bits, State: string(k.State), Since: api.At(k.Since),
		Created: api.At(k.Created)}
}

// withRecord is a key with the record that belongs into DNS.
func (s *Server) withRecord(k *directory.SigningKey) (*api.SigningKey, error) {
	out := wireKey(k)
	name, record, err := s.o.Keys.Record(k)
	if err != nil {
		return nil, err
	}
	out.RecordName, out.Record, out.Zone = name, record.Text(), record.Zone(name)
	return out, nil
}

// keysOf returns the keys of a domain, or with a selector the one.
func (s *Server) keysOf(r *api.DKIMRequest) ([]*directory.SigningKey, error) {
	domain, err := smtp.Domain(r.Domain)
	if err != nil {
		return nil, &directory.Wrong{Why: "the name of a domain is needed"}
	}
	var found []*directory.SigningKey
	for _, k := range s.o.Keys.Of(domain) {
		if r.Selector == "" || strings.EqualFold(k.Selector(), r.Selector) {
			found = append(found, k)
		}
	}
	if len(found) == 0 {
		return nil, directory.ErrUnknownKey
	}
	return found, nil
}

// showKeys answers the keys of a domain with their records.
func (s *Server) showKeys(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	keys, err := s.keysOf(&api.DKIMRequest{Domain: q.Get("domain"), Selector: q.Get("selector")})
	if err != nil {
		return keyError(err)
	}
	all, err := s.withRecords(keys)
	if err != nil {
		return keyError(err)
	}
	return answer(w, api.SigningKeys{Keys: all})
}

func (s *Server) withRecords(keys []*directory.SigningKey) (all []*api.SigningKey, err error) {
	for _, k := range keys {
		out, err := s.withRecord(k)
		if err != nil {
			return nil, err
		}
		all = append(all, out)
	}
	return all, nil
}

func (s *Server) generateKey(
	ctx context.Context, r *api.DKIMRequest,
) ([]*api.SigningKey, error) {
	request := signing.Request{Domain: r.Domain, Selector: r.Selector, Tenant: r.Tenant,
		Algorithm: r.Algorithm, Bits: r.Bits}
	if r.Private != "" {
		request.Private = []byte(r.Private)
	}
	k, err := s.o.Keys.Generate(ctx, request)
	if err != nil {
		return nil, err
	}
	return s.withRecords([]*directory.SigningKey{k})
}

func (s *Server) rotateKeys(
	ctx context.Context, r *api.DKIMRequest,
) ([]*api.SigningKey, error) {
	made, err := s.o.Keys.Rotate(ctx, r.Domain)
	if err != nil {
		return nil, err
	}
	return s.withRecords(made)
}

// checkKeys asks DNS for the records, and has mail signed with the new keys that are there, with
// Force also with those that are not.
func (s *Server) checkKeys(ctx context.Context, r *api.DKIMRequest) ([]*api.SigningKey, error) {
	keys, err := s.keysOf(r)
	if err != nil {
		return nil, err
	}
	var all []*api.SigningKey
	for _, k := range keys {
		is, why := s.o.Keys.Check(ctx, k)
		state := k.State
		if k.State == directory.KeyNew && (is == signing.Published || r.Force) {
			if err := s.o.Keys.Activate(ctx, k); err != nil {
				return nil, err
			}
			state = directory.KeyActive
		}
		out, err := s.withRecord(k)
		if err != nil {
			return nil, err
		}
		out.DNS, out.Problem, out.State = string(is), why, string(state)
		all = append(all, out)
	}
	return all, nil
}

// retireKey answers what is left of the key: nothing, or the one that is retiring.
func (s *Server) retireKey(ctx context.Context, r *api.DKIMRequest) ([]*api.SigningKey, error) {
	if r.Selector == "" {
		return nil, &directory.Wrong{Why: "a key is named by its domain and its selector"}
	}
	keys, err := s.keysOf(r)
	if err != nil {
		return nil, err
	}
	gone, err := s.o.Keys.Retire(ctx, keys[0].Name, r.Force)
	if err != nil || gone {
		return nil, err
	}
	left := wireKey(keys[0])
	left.State = string(directory.KeyRetiring)
	return []*api.SigningKey{left}, nil
}
