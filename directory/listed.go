package directory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// listed is an outside list on its way into the directory: which user each entry is.
//
// The addresses of an entry are a set (RFC 4512 2.3): which of them names the user, and so the
// mailbox, is decided once, when the user is made, and is kept in the directory, for all nodes.
// From then on the entry is that user (User.Entry), also when the address is not among its values
// any more, and its other addresses are further ones of the user. A user who was made before
// entries were noted is known by an address. A user whose entry is gone is known by the first
// address of another entry, as one who was removed and made again is.
type listed struct {
	e      *Editor
	source string
	keep   bool              // all members keep Entry and Addresses
	known  map[string]*User  // by their entries
	taken  map[string]bool   // users whom an entry is
	rest   []*Imported       // entries that are no user yet
	claims map[string]string // further address -> user
	// those who claim what another user had when this began
	waiting []*Imported
	changed []Imported
	did     Synced
}

func (e *Editor) newListed(source string) *listed {
	l := &listed{e: e, source: source, keep: e.kept() == nil,
		known: map[string]*User{}, taken: map[string]bool{}, claims: map[string]string{}}
	e.Directory.tables[users].view.Range(func(_, v any) bool {
		u := v.(*User)
		if u.Source != source || u.Entry == "" {
			return true
		}
		// Two have one entry if two nodes made it at the same time: the older one stays.
		if other := l.known[u.Entry]; other == nil || u.Created.Before(other.Created) ||
			u.Created.Equal(other.Created) && u.Name < other.Name {
			l.known[u.Entry] = u
		}
		return true
	})
	return l
}

// add takes an entry of the list. One that is no user by its Entry waits for the others: they are
// not to lose their addresses to it.
func (l *listed) add(i *Imported) {
	i.Source = l.source
	if u := l.known[i.Entry]; i.Entry != "" && u != nil && !l.taken[u.Name] {
		l.is(u.Name, i)
		return
	}
	l.rest = append(l.rest, i)
}

// settle finds out who the entries that wait are, when all have come.
func (l *listed) settle() {
	for _, former := range []func(*Imported) string{l.byName, l.byAddress} {
		l.rest = slices.DeleteFunc(l.rest, func(i *Imported) bool {
			name := former(i)
			if name != "" {
				l.is(name, i)
			}
			return name != ""
		})
	}
	l.settleClaims()
	for _, i := range l.rest {
		l.fresh(i)
	}
	l.settleClaims()
	for address, name := range l.claims {
		if u, ok := l.e.Directory.Get(address); ok && (u.Source != l.source || l.taken[u.Name]) {
			l.note(fmt.Errorf("%s: there is another user of that name, who gets its mail, and "+
				"not %s", address, name))
		}
	}
}

// settleClaims gives addresses to those who claim what others had, and do not claim any more.
func (l *listed) settleClaims() {
	for _, i := range l.waiting {
		i.Addresses = slices.DeleteFunc(i.Addresses, func(address string) bool {
			return !l.claim(i.Name, address)
		})
		l.put(i)
	}
	l.waiting = nil
}

// byName returns the user of this list whom an entry's first address names and who is no entry yet.
func (l *listed) byName(i *Imported) string {
	if u := l.free(i.Name); u != nil {
		return u.Name
	}
	return ""
}

// byAddress returns the user of this list whom any address of an entry names, if that may be the
// same entry: the user's is not known, or was told by something else, or it was made again with the
// same addresses.
func (l *listed) byAddress(i *Imported) string {
	for _, address := range i.Addresses {
		u := l.free(address)
		if u == nil {
			continue
		}
		others, err := further(u.Name, i.Addresses)
		if kindOf(u.Entry) != kindOf(i.Entry) || err == nil && slices.Equal(others, u.Addresses) {
			return u.Name
		}
	}
	return ""
}

// kindOf is what an entry is told by, such as "dn".
func kindOf(entry string) string {
	kind, _, _ := strings.Cut(entry, ":")
	return kind
}

// free returns the user of this list who has a name and is no entry yet; nil: there is none.
func (l *listed) free(address string) *User {
	name, err := Canonical(address)
	if err != nil {
		return nil
	}
	u, ok := l.e.Directory.Get(name)
	if !ok || u.Source != l.source || l.taken[name] {
		return nil
	}
	return u
}

// fresh makes a user of an entry that was none. It is named by the first address that nobody has,
// as a name or else.
func (l *listed) fresh(i *Imported) {
	first, free, alias := "", "", false
	for _, address := range slices.Concat([]string{i.Name}, i.Addresses) {
		name, err := Canonical(address)
		if err != nil {
			l.refuse(address, err)
			return
		}
		first = orText(first, name)
		u, isUser := l.e.Directory.Get(name)
		if isUser && u.Source != l.source {
			l.did.Kept++ // our own user is who that is
			return
		}
		_, isAlias := l.e.Directory.Alias(name)
		alias = alias || isAlias
		_, claimed := l.claims[name]
		if free == "" && !isUser && !isAlias && !l.taken[name] && !claimed {
			free = name
		}
	}
	switch {
	case free != "":
		l.is(free, i)
	case alias:
		l.did.Kept++
	default:
		l.refuse(first, errShared)
	}
}

func orText(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

var (
	errShared = errors.New("all its addresses are those of other entries")
	errTwice  = errors.New("two entries have this address: the one that had it first gets its mail")
)

// is makes an entry a user of a name.
func (l *listed) is(name string, i *Imported) {
	l.taken[name] = true
	others, err := further(name, i.Addresses)
	if err != nil {
		l.refuse(name, err)
		return
	}
	i.Name = name
	i.Settings.Senders = slices.Concat(others, i.Settings.Senders)
	if !l.keep {
		// An older member would lose these when it takes the row over, and does not know such a
		// hash: they stay as they are.
		u, ok := l.e.Directory.Get(name)
		if !ok {
			u = new(User)
		}
		i.Entry, i.Addresses = u.Entry, u.Addresses
		if isLater(i.Hash) {
			i.Hash = u.Hash
		}
		l.put(i)
		return
	}
	contested := false
	i.Addresses = slices.DeleteFunc(others, func(address string) bool {
		holder := l.holder(address)
		if holder != "" && holder != name {
			contested = true
			return false
		}
		return !l.claim(name, address)
	})
	if contested {
		l.waiting = append(l.waiting, i)
		return
	}
	l.put(i)
}

// holder is who of this list has had a further address so far.
func (l *listed) holder(address string) string {
	u, ok := l.e.Directory.Address(address)
	if !ok || u.Source != l.source {
		return ""
	}
	return u.Name
}

// claim gives a further address to a user, unless another one has claimed it.
func (l *listed) claim(name, address string) bool {
	if other, ok := l.claims[address]; ok && other != name {
		l.note(fmt.Errorf("%s, of %s and %s: %w", address, other, name, errTwice))
		return false
	}
	l.claims[address] = name
	return true
}

// put has a user changed, who differs from what the directory has.
func (l *listed) put(i *Imported) {
	u, err := l.e.imported(i, true)
	switch {
	case errors.Is(err, ErrExists), errors.Is(err, ErrAliasExists):
		l.did.Kept++
	case err != nil:
		l.refuse(i.Name, err)
	default:
		if known, ok := l.e.Directory.Get(u.Name); !ok || !same(known, u) {
			l.changed = append(l.changed, *i)
		}
	}
}

func (l *listed) refuse(address string, err error) {
	l.did.Refused++
	l.note(fmt.Errorf("%.100q: %w", address, err))
}

// note keeps the first thing that is wrong with the list.
func (l *listed) note(err error) {
	if l.did.First == nil {
		l.did.First = err
	}
}
