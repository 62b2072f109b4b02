package directory

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Source is a list of users that is kept elsewhere, such as an LDAP server. Its users are copied
// into the directory, so that mail flows while it cannot be reached and a look-up never waits; only
// passwords that it does not give away are checked there. Safe for use by several goroutines.
type Source interface {
	// Users calls fn with every user of the list; Addresses are all that the entry has, Name the
	// one that a new user is to have. After an error the list is not known.
	Users(ctx context.Context, fn func(*Imported) error) error
	// Check reports whether a password is that of a user of the list, whom Entry names, or Name
	// where there is none. An error says that nobody knows.
	Check(ctx context.Context, u *User, password string) (bool, error)
}

// Synced is what a synchronisation did.
type Synced struct {
	Users   int // in the list
	Changed int // added, or changed
	Removed int
	// not taken: there is a user or an alias of that name who does not come from the list
	Kept    int
	Refused int // not taken: it could not be a user; if it was one, that one stays as it is
	First   error
}

// ErrManyGone is what a list gets that would remove most of its users: more likely its filter is
// wrong, or its server half restored.
var ErrManyGone = errors.New("more than half of the users of this list are not in it any more")

// fewGone is how many may go without a question.
const fewGone = 10

// Sync makes the users of a source, called name, those that its list has: new and changed ones by a
// stage, and the others are removed. Users who do not come from that source are left alone. With
// force even most of them may go. Two at the same time do no harm.
func (e *Editor) Sync(
	ctx context.Context, name string, s Source, force bool,
) (did Synced, err error) {
	set := "source-" + name
	if err := checkImport(set); err != nil {
		return did, err
	}
	list := e.newListed(name)
	err = s.Users(ctx, func(i *Imported) error {
		if list.did.Users++; list.did.Users > MaxUsers {
			return ErrFull
		}
		list.add(i)
		return nil
	})
	did = list.did
	if err != nil {
		return did, err
	}
	list.settle()
	did = list.did
	gone, all := e.Directory.goneFrom(name, list.taken)
	if len(gone) > fewGone && 2*len(gone) > all && !force {
		return did, fmt.Errorf("%w: %d of %d", ErrManyGone, len(gone), all)
	}
	if did.Changed, err = e.take(ctx, set, list.changed); err != nil {
		return did, err
	}
	for _, user := range gone {
		if err := e.propose(ctx, cmdRemove, user); err != nil && !errors.Is(err, ErrUnknown) {
			return did, err
		}
		did.Removed++
	}
	return did, nil
}

// take imports and commits users. Users staged by an interrupted synchronisation go with them,
// or is replaced.
func (e *Editor) take(
	ctx context.Context, set string, changed []Imported,
) (committed int, err error) {
	if len(changed) == 0 {
		return 0, nil
	}
	if _, err := e.Import(ctx, set, changed, true); err != nil {
		return 0, err
	}
	committed, _, err = e.Commit(ctx, set, nil)
	if errors.Is(
		err,
		ErrNoImport,
	) { // this member has not heard of it yet: the next synchronisation finds the import
		err = nil
	}
	return committed, err
}

// same reports whether two users differ in nothing but their history.
func same(a, b *User) bool {
	x, y := *a, *b
	y.Created, y.Changed, y.Version = x.Created, x.Changed, x.Version
	return reflect.DeepEqual(x, y)
}

// goneFrom returns the users of a source that are not listed, and how many it has.
func (d *Directory) goneFrom(source string, listed map[string]bool) (gone []string, all int) {
	d.tables[users].view.Range(func(name, v any) bool {
		if u := v.(*User); u.Source == source {
			all++
			if !listed[u.Name] {
				gone = append(gone, u.Name)
			}
		}
		return true
	})
	slices.Sort(gone)
	return gone, all
}
