package policy

import (
	"context"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/smtp"
)

// A question to the outside waits for a network and not for a core.
const (
	outsideWorkers = 8
	outsideWait    = 5 * time.Second
)

// isOutside reports whether a user's password is checked elsewhere.
func (a *Auth) isOutside(u *directory.User) bool {
	return a.outside != nil && u.Source != "" && u.Hash == ""
}

// verify checks a password, here or outside. A user who is nobody, or cannot log in, costs what
// others do.
func (a *Auth) verify(u *directory.User, password string) (bool, *smtp.Failure) {
	if u != nil && a.isOutside(u) {
		ctx, cancel := context.WithTimeout(context.Background(), outsideWait)
		defer cancel()
		ok, err := a.outside(ctx, u, password)
		if err != nil {
			return false, failOutside.With(err)
		}
		return ok, nil
	}
	who := u
	if who == nil || !who.Verifiable() {
		who = &a.dummy
	}
	ok, err := who.Verify(password)
	if err != nil {
		if a.events.BadHash != nil {
			a.events.BadHash(who.Name, err)
		}
		return false, failBadHash
	}
	return ok, nil
}
