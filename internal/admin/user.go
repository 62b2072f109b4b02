package admin

import (
	"context"
	"errors"
	"net/http"
	"unicode"
	"unicode/utf8"

	"github.com/postroad/postroad/directory"
)

func (s *Server) userRoutes(m *http.ServeMux) {
	m.Handle("GET /v1/users", handler(s.users))
	m.Handle("POST /v1/users", s.userChange(s.addUser))
	m.Handle("POST /v1/users/passwd", s.userChange(s.passwd))
	m.Handle("POST /v1/users/remove", s.userChange(s.removeUser))
}

// userPage is how many users are taken from the directory at a time.
const userPage = 500

func (s *Server) users(w http.ResponseWriter, r *http.Request) error {
	return streaming(w, func(out *stream) (*Total, error) {
		total, after := &Total{Node: s.o.Node}, ""
		for {
			page := s.o.Users.List(after, userPage)
			for _, u := range page {
				if !out.item(wireUser(u)) {
					return total, nil
				}
				total.Recipients, after = total.Recipients+1, u.Name
			}
			if len(page) < userPage {
				return total, nil
			}
		}
	})
}

func wireUser(u *directory.User) *User {
	return &User{Name: u.Name, Tenant: u.Tenant, Senders: u.Senders, Messages: wireRate(u.Messages), Recipients: wireRate(u.Rcpts),
		Scram: u.Scram != nil, Disabled: u.Disabled, Created: u.Created, Changed: u.Changed}
}

// userChange reads and checks the request, lets do make the change, and answers {}.
func (s *Server) userChange(do func(context.Context, *UserRequest) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var u UserRequest
		if err := read(w, r, &u); err != nil {
			return err
		}
		if err := u.Check(); err != nil {
			return err
		}
		if err := do(r.Context(), &u); err != nil {
			return userError(err)
		}
		return answer(w, struct{}{})
	}
}

// Check finds what no directory would take.
func (u *UserRequest) Check() error {
	if _, err := directory.Canonical(u.Name); err != nil {
		return fail(ExitData, err.Error(), "a user's name is the mail address to log in with")
	}
	for _, sender := range u.Senders {
		if _, err := directory.CanonicalSender(sender); err != nil {
			return fail(ExitData, err.Error(), `a sender is an address, or "@example.net" for all of a domain`)
		}
	}
	return nil
}

// checkPassword refuses what some mail program could not send.
func checkPassword(p string) error {
	ok := len(p) > 0 && len(p) <= 1000 && utf8.ValidString(p)
	for _, r := range p {
		ok = ok && !unicode.IsControl(r)
	}
	if !ok {
		return fail(ExitData, "that is no password", "it has 1 to 1000 octets of UTF-8 without control characters")
	}
	return nil
}

func (s *Server) addUser(ctx context.Context, u *UserRequest) error {
	if err := checkPassword(u.Password); err != nil {
		return err
	}
	return s.o.Users.Add(ctx, u.Name, u.Password, directory.Settings{
		Tenant: u.Tenant, Senders: u.Senders, Messages: directoryRate(u.Messages), Recipients: directoryRate(u.Recipients), Scram: u.Scram,
	})
}

func (s *Server) passwd(ctx context.Context, u *UserRequest) error {
	if err := checkPassword(u.Password); err != nil {
		return err
	}
	if u.Scram {
		return s.o.Users.EnableScram(ctx, u.Name, u.Password)
	}
	return s.o.Users.Passwd(ctx, u.Name, u.Password)
}

func (s *Server) removeUser(ctx context.Context, u *UserRequest) error {
	return s.o.Users.Remove(ctx, u.Name)
}

// userError gives the directory's refusals their exit status; what else fails may pass.
func userError(err error) error {
	switch {
	case errors.Is(err, directory.ErrExists):
		return fail(ExitData, err.Error(), "`postroad user passwd` gives them another password")
	case errors.Is(err, directory.ErrUnknown):
		return fail(ExitData, err.Error(), "`postroad user list` shows who there is")
	case errors.Is(err, directory.ErrFull):
		return fail(ExitData, err.Error(), "remove users that are no longer needed")
	}
	return err
}
