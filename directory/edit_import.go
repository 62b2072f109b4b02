package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Imported is a user to be staged. Either Password or Hash or Scram says how they log in, or none.
type Imported struct {
	Name     string
	Hash     string // as ParseHash took it
	Scram    *Scram
	Settings Settings
	Source   string // see User
	Entry    string // see User
	// Addresses are further addresses, as User.Addresses; from a Source all that the entry has,
	// in no order that means anything.
	Addresses []string
}

// Refused is one imported user that cannot be staged.
type Refused struct {
	Number int // in the batch
	Why    error
}

// ErrNoImport is what there is when nothing was staged.
var ErrNoImport = errors.New("nothing is staged under that name")

// Import puts users aside. Those it refuses are named; all others are staged. With replace they are
// to take the places of users of the same names.
func (e *Editor) Import(
	ctx context.Context, set string, batch []Imported, replace bool,
) (refused []Refused, err error) {
	if err := checkImport(set); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(batch, func(i Imported) bool {
		return i.Source == "" && isLater(i.Hash)
	}) {
		if err := e.kept(); err != nil {
			return nil, err
		}
	}
	all := newFlight(ctx)
	var next []staged
	size := 0
	send := func() {
		c := importCommand{Import: set, Users: next}
		next, size = nil, 0
		all.do(func(ctx context.Context) error { return e.propose(ctx, cmdImport, c) })
	}
	for i := range batch {
		u, err := e.imported(&batch[i], replace)
		if err != nil {
			refused = append(refused, Refused{i, err})
			continue
		}
		next = append(next, staged{u, replace})
		if size += u.weight(); len(next) == maxBatch || size >= batchBytes {
			send()
		}
	}
	if len(next) > 0 {
		send()
	}
	return refused, all.wait()
}

// weight is how many octets a user takes in a command, about.
func (u *User) weight() int {
	n := 400 + len(u.Name) + len(u.Hash) + len(u.Entry)
	for _, address := range slices.Concat(u.Senders, u.Forward, u.Addresses) {
		n += len(address) + 3
	}
	return n
}

func checkImport(set string) error {
	ok := len(set) > 0 && len(set) <= 64
	for _, r := range set {
		ok = ok &&
			(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
				strings.ContainsRune("._-", r))
	}
	if !ok {
		return wrongf("a stage's name has 1 to 64 letters, digits, dots, hyphens and underscores")
	}
	return nil
}

// imported makes the user that a row of an import describes.
func (e *Editor) imported(i *Imported, replace bool) (*User, error) {
	name, err := Canonical(i.Name)
	if err != nil {
		return nil, err
	}
	now := e.Now().UTC()
	u := &User{
		Name:    name,
		Hash:    i.Hash,
		Scram:   i.Scram,
		Source:  i.Source,
		Entry:   i.Entry,
		Created: now,
		Changed: now,
	}
	known, ok := e.Directory.Get(name)
	switch {
	case ok && (!replace || known.Source != i.Source):
		return nil, ErrExists
	case ok:
		u.Created = known.Created
	}
	if _, ok := e.Directory.Alias(name); ok {
		return nil, ErrAliasExists
	}
	if u.Addresses, err = further(name, i.Addresses); err != nil {
		return nil, err
	}
	return u, u.configure(i.Settings)
}

// further are addresses but the name, canonical and in order, each once.
func further(name string, addresses []string) (others []string, err error) {
	for _, address := range addresses {
		canonical, err := Canonical(address)
		if err != nil {
			return nil, err
		}
		if canonical != name {
			others = append(others, canonical)
		}
	}
	slices.Sort(others)
	return slices.Compact(others), nil
}

// Commit makes the users of an import visible, batch by batch, and tells progress how many are.
// kept are those that stay staged because somebody has made a user or an alias of their names
// meanwhile. After an error Commit goes on where it was when it is called again.
func (e *Editor) Commit(
	ctx context.Context, set string, progress func(n int),
) (committed, kept int, err error) {
	return e.eachStaged(ctx, set, cmdCommit, progress)
}

// Discard drops an import.
func (e *Editor) Discard(
	ctx context.Context, set string, progress func(n int),
) (dropped int, err error) {
	dropped, _, err = e.eachStaged(ctx, set, cmdDiscard, progress)
	return dropped, err
}

// eachStaged proposes a command for each batch of an import's names. The names come from this
// member's rows, which may be behind by a moment.
func (e *Editor) eachStaged(
	ctx context.Context, set string, kind commandType, progress func(n int),
) (done, kept int, err error) {
	var mu sync.Mutex
	all := newFlight(ctx)
	after, seen := "", false
	for all.ctx.Err() == nil {
		names, err := e.Directory.staged(set, after)
		if err != nil {
			return done, kept, errors.Join(all.wait(), fmt.Errorf("reading the stage: %w", err))
		}
		if len(names) == 0 {
			break
		}
		after, seen = names[len(names)-1], true
		all.do(func(ctx context.Context) error {
			b, err := e.proposeBatch(ctx, kind, importCommand{Import: set, Names: names})
			mu.Lock()
			defer mu.Unlock()
			done, kept = done+int(b.Moved), kept+int(b.Kept)
			if progress != nil {
				progress(done + kept)
			}
			return err
		})
	}
	if err := all.wait(); err != nil {
		return done, kept, err
	}
	if !seen {
		return 0, 0, ErrNoImport
	}
	return done, kept, nil
}

// batchesInFlight is how many commands of one import are on their way at a time: the log takes them
// together.
const batchesInFlight = 8

// flight is some proposals on their way. The first that fails ends all.
type flight struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	places chan struct{}
	flying sync.WaitGroup
}

func newFlight(ctx context.Context) *flight {
	f := &flight{places: make(chan struct{}, batchesInFlight)}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	return f
}

// do waits for a place and runs propose.
func (f *flight) do(propose func(context.Context) error) {
	select {
	case f.places <- struct{}{}:
	case <-f.ctx.Done():
		return
	}
	f.flying.Go(func() {
		defer func() { <-f.places }()
		if err := propose(f.ctx); err != nil {
			f.cancel(err)
		}
	})
}

// wait waits for all and returns why not all were made.
func (f *flight) wait() error {
	f.flying.Wait()
	err := context.Cause(f.ctx)
	f.cancel(nil)
	return err
}
