package directory

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"
)

// Form is what a stranger sees of a user's SCRAM keys before any proof.
type Form struct {
	Iterations int
	Salt       int // octets of it
	// Weight is how many users have the form, rounded to a power of two, so that it seldom changes.
	Weight int
}

// maxForms bounds the forms that Forms returns: those that most users have.
const maxForms = 32

// census counts the users, and those of each form.
type census struct {
	mu     sync.Mutex
	users  int
	counts map[Form]int // by forms of weight 0
	forms  []Form       // nil: to be made of counts
}

// change takes over what became of a user; nil: there was none, or is none any more.
func (c *census) change(old, now *User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.countLocked(old, -1)
	c.countLocked(now, 1)
}

func (c *census) countLocked(u *User, n int) {
	if u == nil {
		return
	}
	c.users += n
	if u.Scram == nil {
		return
	}
	if c.counts == nil {
		c.counts = map[Form]int{}
	}
	f := Form{Iterations: u.Scram.Iterations, Salt: len(u.Scram.Salt)}
	if c.counts[f] += n; c.counts[f] <= 0 {
		delete(c.counts, f)
	}
	c.forms = nil
}

// load makes it what the users in a view are.
func (c *census) load(view *sync.Map) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users, c.counts, c.forms = 0, nil, nil
	view.Range(func(_, v any) bool {
		c.countLocked(v.(*User), 1)
		return true
	})
}

// Users is how many users there are.
func (d *Directory) Users() int {
	d.census.mu.Lock()
	defer d.census.mu.Unlock()
	return d.census.users
}

// Forms returns the forms that SCRAM keys of users have, in an order of their own. They are
// read-only.
func (d *Directory) Forms() []Form {
	c := &d.census
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forms == nil && len(c.counts) > 0 {
		for f, n := range c.counts {
			f.Weight = 1 << (bits.Len(uint(n)) - 1)
			c.forms = append(c.forms, f)
		}
		slices.SortFunc(c.forms, func(a, b Form) int {
			return cmp.Or(cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Iterations, b.Iterations),
				cmp.Compare(a.Salt, b.Salt))
		})
		c.forms = slices.Clip(c.forms[:min(len(c.forms), maxForms)])
	}
	return c.forms
}
