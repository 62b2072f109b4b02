package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/rows"
)

// Bounds of what one user record may hold.
const (
	maxSenders = 100
	maxTenant  = 64
)

// Editor makes the commands that change users. Salts, hashes and times are decided here, before a command is
// proposed; Apply only stores them.
type Editor struct {
	Directory *Directory
	Proposer  rows.Proposer    // answers with what Apply returned: a Result
	Now       func() time.Time // command time
	Cost      Cost             // of new hashes; zero: DefaultCost
}

// Settings is what an operator can say of a user.
type Settings struct {
	Tenant     string
	Senders    []string
	Disabled   bool
	Messages   Rate // zero: the configured rate
	Recipients Rate // zero: the configured rate
	Scram      bool // keep keys for SCRAM-SHA-256, too
}

// Add makes a user.
func (e *Editor) Add(ctx context.Context, name, password string, s Settings) error {
	name, err := Canonical(name)
	if err != nil {
		return err
	}
	u := &User{Name: name, Created: e.Now().UTC()}
	if err := u.configure(s); err != nil {
		return err
	}
	if err := e.setPassword(u, password, s.Scram); err != nil {
		return err
	}
	return e.propose(ctx, cmdAdd, u, u)
}

// Passwd gives a user another password. SCRAM keys are renewed when the user has them.
func (e *Editor) Passwd(ctx context.Context, name, password string) error {
	return e.change(ctx, name, func(u *User) error { return e.setPassword(u, password, u.Scram != nil) })
}

// Set gives a user other settings. SCRAM keys can be dropped here, but not made: that takes the password.
func (e *Editor) Set(ctx context.Context, name string, s Settings) error {
	return e.change(ctx, name, func(u *User) error {
		if s.Scram && u.Scram == nil {
			return errors.New("SCRAM keys are made from the password: set it again with SCRAM enabled")
		}
		if !s.Scram {
			u.Scram = nil
		}
		return u.configure(s)
	})
}

// EnableScram gives a user a password and keys for SCRAM-SHA-256.
func (e *Editor) EnableScram(ctx context.Context, name, password string) error {
	return e.change(ctx, name, func(u *User) error { return e.setPassword(u, password, true) })
}

// Remove takes a user out.
func (e *Editor) Remove(ctx context.Context, name string) error {
	name, err := Canonical(name)
	if err != nil {
		return err
	}
	return e.propose(ctx, cmdRemove, name, nil)
}

// change edits a copy of the user as this member knows it. Two operators who change one user at the same moment: the later
// command wins as a whole.
func (e *Editor) change(ctx context.Context, name string, edit func(*User) error) error {
	name, err := Canonical(name)
	if err != nil {
		return err
	}
	known, ok := e.Directory.Get(name)
	if !ok {
		return ErrUnknown
	}
	u := *known
	if err := edit(&u); err != nil {
		return err
	}
	return e.propose(ctx, cmdPut, &u, &u)
}

func (e *Editor) propose(ctx context.Context, kind commandType, v any, u *User) error {
	if u != nil {
		u.Changed = e.Now().UTC()
	}
	data, err := encodeCommand(kind, v)
	if err != nil {
		return fmt.Errorf("encoding the command: %w", err)
	}
	result, err := e.Proposer.Propose(ctx, data, nil)
	if err != nil {
		return fmt.Errorf("recording the change (look whether it took effect before you repeat it): %w", err)
	}
	r, ok := result.(Result)
	if !ok {
		return fmt.Errorf("recording the change: unexpected answer %T", result)
	}
	return r.Err()
}

func (e *Editor) setPassword(u *User, password string, withScram bool) (err error) {
	cost := e.Cost
	if cost == (Cost{}) {
		cost = DefaultCost
	}
	if u.Hash, err = HashPassword(password, cost); err != nil {
		return err
	}
	u.Scram = nil
	if withScram {
		u.Scram, err = NewScram(u.Name, password)
	}
	return err
}

func (u *User) configure(s Settings) error {
	if len(s.Tenant) > maxTenant {
		return fmt.Errorf("a tenant's name has at most %d octets", maxTenant)
	}
	if len(s.Senders) > maxSenders {
		return fmt.Errorf("a user has at most %d further senders; use @domain for all of a domain", maxSenders)
	}
	for _, r := range []Rate{s.Messages, s.Recipients} {
		if r != (Rate{}) && (r.N <= 0 || r.Per <= 0) {
			return errors.New("a rate is a positive number in a positive time, such as 100/h")
		}
	}
	senders := make([]string, 0, len(s.Senders))
	for _, sender := range s.Senders {
		canonical, err := CanonicalSender(sender)
		if err != nil {
			return err
		}
		senders = append(senders, canonical)
	}
	u.Tenant, u.Senders, u.Disabled, u.Messages, u.Rcpts = s.Tenant, senders, s.Disabled, s.Messages, s.Recipients
	return nil
}
