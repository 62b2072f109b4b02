package directory

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/postroad/postroad/internal/rows"
)

// Directory is the state machine and the view of what it has applied. Apply and Committed belong to
// the apply goroutine; all other methods are safe for use by several goroutines.
type Directory struct {
	pending []change // applied, not yet in the store; owned by the apply goroutine
	tables  [tables]*table
	further furtherAddresses
	keys    domainKeys
	census  census

	changes atomic.Uint64

	mu     sync.Mutex  // taken by whoever changes the view
	reader rows.Reader // guarded by mu: where Restored and the listings read
}

// change is what an applied command does to the view once it is in the store; a nil record is a
// removal.
type change struct {
	table *table
	name  string
	to    record
}

// New returns an empty directory. Load fills it once the group's store is open.
func New() *Directory { return &Directory{tables: newTables()} }

// Committed publishes what Apply did since the last call: it is in the store now.
func (d *Directory) Committed() {
	if len(d.pending) == 0 {
		return
	}
	d.mu.Lock()
	for _, c := range d.pending {
		if c.table.name == users {
			old, _ := d.Get(c.name)
			now, _ := c.to.(*User)
			d.further.change(old, now)
			d.census.change(old, now)
		}
		if c.table.name == signingKeys {
			now, _ := c.to.(*SigningKey)
			d.keys.change(c.name, now)
		}
		if c.to == nil {
			c.table.view.Delete(c.name)
		} else {
			c.table.view.Store(c.name, c.to)
		}
	}
	d.mu.Unlock()
	d.changes.Add(1)
	clear(d.pending)
	d.pending = d.pending[:0]
}

// Load reads the users from the store, and remembers r for Restored and the listings. It may run
// beside Apply: what is applied meanwhile is published after it, because the lock is taken before
// the store is read, and because Committed comes after the store was written.
func (d *Directory) Load(r rows.Reader) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reader = r
	return d.loadLocked()
}

// Restored says that all rows were replaced by another member's. On the apply goroutine; like Apply
// it does not go on with what it cannot read.
func (d *Directory) Restored() {
	d.pending = d.pending[:0]
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reader == nil {
		return // Load is still to come
	}
	if err := d.loadLocked(); err != nil {
		panic(fmt.Sprintf("directory: %v", err))
	}
}

func (d *Directory) loadLocked() error {
	defer d.changes.Add(1)
	for _, t := range d.tables {
		if err := t.load(d.reader); err != nil {
			return err
		}
	}
	d.further.load(&d.tables[users].view)
	d.keys.load(&d.tables[signingKeys].view)
	d.census.load(&d.tables[users].view)
	return nil
}

// Changes is a number that is another one after each change of the view, for those who keep what
// they made of it.
func (d *Directory) Changes() uint64 { return d.changes.Load() }

// Get returns the user of a canonical name. It takes no lock. The user is read-only.
func (d *Directory) Get(name string) (*User, bool) { return get[*User](d, users, name) }

// Alias returns the alias of a canonical name, as Get does.
func (d *Directory) Alias(name string) (*Alias, bool) { return get[*Alias](d, aliases, name) }

// Domain returns the domain of a name in A-labels, as Get does.
func (d *Directory) Domain(name string) (*Domain, bool) { return get[*Domain](d, domains, name) }

// Address returns the user who has a canonical address besides the own name, as Get does. Of two
// who have it, it is the one whose name comes first, on all members alike.
func (d *Directory) Address(name string) (*User, bool) {
	for _, user := range d.further.users(name) {
		if u, ok := d.Get(user); ok {
			return u, true
		}
	}
	return nil, false
}

func get[T any](d *Directory, t tableName, name string) (one T, ok bool) {
	v, ok := d.tables[t].view.Load(name)
	if !ok {
		return one, false
	}
	return v.(T), true
}

// List returns up to limit users in the order of their names, those above after. A limit of 0 is
// none. The names come from the store, which is in order; before Load there are none.
func (d *Directory) List(after string, limit int) []*User {
	return list[*User](d, users, after, limit)
}

// Aliases lists aliases as List does users.
func (d *Directory) Aliases(after string, limit int) []*Alias {
	return list[*Alias](d, aliases, after, limit)
}

// Domains lists domains as List does users.
func (d *Directory) Domains(after string, limit int) []*Domain {
	return list[*Domain](d, domains, after, limit)
}

func list[T any](d *Directory, t tableName, after string, limit int) (all []T) {
	for r := d.rows(); r != nil && (limit == 0 || len(all) < limit); {
		names, err := namesAbove(r, d.tables[t].key(""), after, max(0, limit-len(all)))
		for _, name := range names {
			if one, ok := get[T](d, t, name); ok { // else removed meanwhile, or not yet published
				all = append(all, one)
			}
		}
		if len(names) == 0 || limit == 0 || err != nil { // a store that failed stops the node
			break
		}
		after = names[len(names)-1]
	}
	return all
}

func (d *Directory) rows() rows.Reader {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reader
}

// MaySend reports whether the user may use sender, in canonical form, as the reverse-path.
func (u *User) MaySend(sender string) bool {
	if sender == u.Name {
		return true
	}
	domain := sender[strings.LastIndexByte(sender, '@')+1:]
	for _, s := range u.Senders {
		if s == sender || s[0] == '@' && s[1:] == domain {
			return true
		}
	}
	return false
}
