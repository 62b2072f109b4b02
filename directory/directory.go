package directory

import (
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/postroad/postroad/internal/rows"
)

// Directory is the state machine and the view of what it has applied. Apply and Committed belong to the apply goroutine; all other
// methods are safe for use by several goroutines.
type Directory struct {
	limit   uint64   // users; the same on all members
	pending []change // applied, not yet in the store; owned by the apply goroutine

	view   sync.Map    // name -> *User; read without a lock
	mu     sync.Mutex  // taken by whoever changes the view
	reader rows.Reader //  guarded by mu: where Restored reads
}

// New returns an empty directory. Load fills it once the group's store is open.
func New() *Directory { return &Directory{limit: MaxUsers} }

// Committed publishes what Apply did since the last call: it is in the store now.
func (d *Directory) Committed() {
	if len(d.pending) == 0 {
		return
	}
	d.mu.Lock()
	for _, c := range d.pending {
		if c.user == nil {
			d.view.Delete(c.name)
		} else {
			d.view.Store(c.name, c.user)
		}
	}
	d.mu.Unlock()
	clear(d.pending)
	d.pending = d.pending[:0]
}

// Load reads the users from the store, and remembers r for Restored. It may run beside Apply: what is applied meanwhile is published after it, because the lock is
// taken before the store is read, and because Committed comes after the store was written.
func (d *Directory) Load(r rows.Reader) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reader = r
	return d.loadLocked()
}

// Restored says that all rows were replaced by another member's. On the apply goroutine; like Apply it does not go on with what it cannot read.
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

// loadLocked makes the view what the rows say.
func (d *Directory) loadLocked() error {
	var bad error
	known := map[string]bool{}
	err := d.reader.Scan([]byte{userPrefix}, []byte{userPrefix + 1}, func(k, v []byte) bool {
		u, err := decodeRecord(v)
		if err != nil {
			bad = fmt.Errorf("user %q: %w", k[1:], err)
			return false
		}
		d.view.Store(u.Name, u)
		known[u.Name] = true
		return true
	})
	d.view.Range(func(name, _ any) bool {
		if err == nil && bad == nil && !known[name.(string)] {
			d.view.Delete(name)
		}
		return true
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return fmt.Errorf("loading the users: %w", err)
	}
	return nil
}

// Get returns the user of a canonical name. It takes no lock. The user is read-only.
func (d *Directory) Get(name string) (*User, bool) {
	v, ok := d.view.Load(name)
	if !ok {
		return nil, false
	}
	return v.(*User), true
}

// List returns up to limit users in the order of their names, those above after. A limit of 0 is none.
func (d *Directory) List(after string, limit int) []*User {
	var users []*User
	d.view.Range(func(_, v any) bool {
		if u := v.(*User); u.Name > after {
			users = append(users, u)
		}
		return true
	})
	sort.Slice(users, func(i, j int) bool { return users[i].Name < users[j].Name })
	if limit > 0 && len(users) > limit {
		users = users[:limit]
	}
	return users
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
