package directory

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/rows"
)

// Bounds of what one record may hold.
const (
	maxSenders = 100
	maxTenant  = 64
	maxForward = 20
	maxTargets = 5000 // of an alias or a list
)

// Editor makes the commands that change users, domains and aliases. Salts, hashes and times are
// decided here, before a command is proposed; Apply only stores them.
type Editor struct {
	Directory *Directory
	Proposer  rows.Proposer    // answers with what Apply returned: a Result
	Now       func() time.Time // command time
	Cost      Cost             // of new hashes; zero: DefaultCost
	// Local reports whether the mail of a domain is kept here; nil: that of the directory's own
	// domains is.
	Local func(domain string) bool
	// Allows returns why the cluster cannot have what its older members would not understand:
	// domains, aliases, stages, and users with mailboxes' settings. nil: it can.
	Allows func() error
	// AllowsKeys is the same for signing keys.
	AllowsKeys func() error
	// Kept returns why not all members would keep what this program writes into rows of old kinds
	// (Rows), or nil; nil: all do.
	Kept func() error
}

// Rows says what this program keeps of rows whose kinds older ones know: those take what they do
// not know out of a row when they apply it. Members tell each other. 1: User.Entry and
// User.Addresses, aliases of whole domains, hashes of later kinds (hash_kinds.go).
const Rows = 1

func (e *Editor) kept() error {
	if e.Kept == nil {
		return nil
	}
	return e.Kept()
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
	u.Changed = u.Created
	return e.propose(ctx, cmdAdd, u)
}

// Passwd gives a user another password. SCRAM keys are renewed when the user has them.
func (e *Editor) Passwd(ctx context.Context, name, password string) error {
	return e.change(
		ctx,
		name,
		func(u *User) error { return e.setPassword(u, password, u.Scram != nil) },
	)
}

// Edit changes some of a user's settings. SCRAM keys can be dropped here, but not made: that takes
// the password.
func (e *Editor) Edit(ctx context.Context, name string, edit func(*Settings)) error {
	return e.change(ctx, name, func(u *User) error {
		s := u.Settings()
		edit(&s)
		if s.Scram && u.Scram == nil {
			return wrongf("SCRAM keys are made from the password: set it again with SCRAM enabled")
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
	return e.propose(ctx, cmdRemove, name)
}

// change edits a copy of the user as this member knows it. Two operators who change one user at the
// same moment: the later command wins as a whole.
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
	u.Changed = e.Now().UTC()
	return e.propose(ctx, cmdPut, &u)
}

func (e *Editor) propose(ctx context.Context, kind commandType, v any) error {
	_, err := e.proposeBatch(ctx, kind, v)
	return err
}

func (e *Editor) proposeBatch(ctx context.Context, kind commandType, v any) (b Batch, err error) {
	if kind >= cmdAddKey && e.AllowsKeys != nil {
		if err := e.AllowsKeys(); err != nil {
			return b, err
		}
	}
	if u, isUser := v.(*User); e.Allows != nil && (kind > cmdRemove || isUser && u.newer()) {
		if err := e.Allows(); err != nil {
			return b, err
		}
	}
	data, err := encodeCommand(kind, v)
	if err != nil {
		return b, fmt.Errorf("encoding the command: %w", err)
	}
	result, err := e.Proposer.Propose(ctx, data, nil)
	if err != nil {
		return b, fmt.Errorf(
			"recording the change (look whether it took effect before you repeat it): %w",
			err,
		)
	}
	switch r := result.(type) {
	case Result:
		return b, r.Err()
	case Batch:
		return r, r.Err()
	}
	return b, fmt.Errorf("recording the change: unexpected answer %T", result)
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
