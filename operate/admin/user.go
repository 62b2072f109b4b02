package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/operate/admin/api"
)

func (s *Server) userRoutes(m *http.ServeMux) {
	m.Handle("GET /v1/users", handler(s.users))
	m.Handle("GET /v1/users/show", s.known(s.showUser))
	m.Handle("POST /v1/users", s.known(userChange(s.addUser)))
	m.Handle("POST /v1/users/passwd", s.known(userChange(s.passwd)))
	m.Handle("POST /v1/users/remove", s.known(userChange(s.removeUser)))
	m.Handle("POST /v1/users/set", s.known(userChange(s.setUser)))
	s.importRoutes(m)
}

// userPage is how many users are taken from the directory at a time.
const userPage = 500

func (s *Server) users(w http.ResponseWriter, r *http.Request) error {
	return listing(s, w, r, s.o.Users.List, func(u *directory.User) (string, any) {
		return u.Name,
			wireUser(u)
	})
}

func (s *Server) showUser(w http.ResponseWriter, r *http.Request) error {
	name, err := directory.Canonical(r.URL.Query().Get("name"))
	if err != nil {
		return api.Fail(api.ExitData, err.Error(),
			"a user's name is the mail address to log in with")
	}
	u, ok := s.o.Users.Get(name)
	if !ok {
		return directoryError(directory.ErrUnknown)
	}
	return answer(w, wireUser(u))
}

// listing streams all that a listing of the directory has, page by page.
func listing[T any](
	s *Server, w http.ResponseWriter, r *http.Request, list func(after string, limit int) []T,
	wire func(T) (name string, item any),
) error {
	return s.lists(w, r, func(out *stream, total *api.Total) error {
		after := ""
		for {
			page := list(after, userPage)
			for _, one := range page {
				name, item := wire(one)
				if !out.item(item) {
					return nil
				}
				total.Recipients, after = total.Recipients+1, name
			}
			if len(page) < userPage {
				return nil
			}
		}
	})
}

// userChange is change with a check of the request.
func userChange(do func(context.Context, *api.UserRequest) error) handler {
	return change(func(ctx context.Context, u *api.UserRequest) error {
		if err := CheckUser(u); err != nil {
			return err
		}
		return do(ctx, u)
	})
}

// CheckUser finds what no directory would take. The command line calls it, too, so that mistakes
// are told without a node.
func CheckUser(u *api.UserRequest) error {
	if _, err := directory.Canonical(u.Name); err != nil {
		return api.Fail(api.ExitData, err.Error(),
			"a user's name is the mail address to log in with")
	}
	for _, to := range u.Forward {
		if _, err := directory.CheckTarget(to); err != nil {
			return api.Fail(api.ExitData, err.Error(), "mail is forwarded to an address")
		}
	}
	for _, sender := range u.Senders {
		if _, err := directory.CanonicalSender(sender); err != nil {
			return api.Fail(api.ExitData, err.Error(),
				`a sender is an address, or "@example.net" for all of a domain`)
		}
	}
	return nil
}

// checkPassword refuses what is no password.
func checkPassword(p string) error {
	if directory.CheckPassword(p) != nil {
		return api.Fail(api.ExitData, "that is no password",
			"it has 1 to 1000 octets of UTF-8 without control characters")
	}
	return nil
}

func (s *Server) addUser(ctx context.Context, u *api.UserRequest) error {
	if err := checkPassword(u.Password); err != nil {
		return err
	}
	settings := directory.Settings{Scram: u.Scram}
	applySettings(&u.UserSettings, &settings)
	return s.o.Users.Add(ctx, u.Name, u.Password, settings)
}

func (s *Server) setUser(ctx context.Context, u *api.UserRequest) error {
	return s.o.Users.Edit(ctx, u.Name, func(s *directory.Settings) {
		applySettings(&u.UserSettings, s)
	})
}

func (s *Server) passwd(ctx context.Context, u *api.UserRequest) error {
	if err := checkPassword(u.Password); err != nil {
		return err
	}
	if u.Scram {
		return s.o.Users.EnableScram(ctx, u.Name, u.Password)
	}
	return s.o.Users.Passwd(ctx, u.Name, u.Password)
}

func (s *Server) removeUser(ctx context.Context, u *api.UserRequest) error {
	return s.o.Users.Remove(ctx, u.Name, u.KeepMail)
}

// refusals are those of the directory and what to do about them.
var refusals = map[error]string{
	directory.ErrExists:        "`postroad user set` and `postroad user passwd` change a user",
	directory.ErrUnknown:       "`postroad user list` shows who there is",
	directory.ErrFull:          "remove what is no longer needed",
	directory.ErrAliasExists:   "`postroad alias set` changes it",
	directory.ErrUnknownAlias:  "`postroad alias list` shows what there is",
	directory.ErrDomainExists:  "`postroad domain set` changes it",
	directory.ErrUnknownDomain: "`postroad domain list` shows what there is",
	directory.ErrKeyExists:     "`postroad dkim show DOMAIN` shows it; use another selector",
	directory.ErrUnknownKey:    "`postroad dkim list` shows what there is",
	directory.ErrManyGone: "look at the list and its filter; `postroad user sync --force` " +
		"removes them",
	directory.ErrNoImport: "`postroad user import --stages` shows what is staged",
}

// directoryError gives the directory's refusals their exit status; what else fails may pass.
func directoryError(err error) error {
	for refusal, hint := range refusals {
		if errors.Is(err, refusal) {
			return api.Fail(api.ExitData, err.Error(), hint)
		}
	}
	var wrong *directory.Wrong
	if errors.As(err, &wrong) {
		return api.Fail(api.ExitData, err.Error(), "")
	}
	return err
}
