package dns

import (
	"sync"
	"time"
)

// Cache is a bounded map of answers and of questions under way: an entry is a flight that others
// join, and when it has landed the answer itself. Over the bound the clock hand takes an entry that
// was not used since it last passed (second chance). Flights under way are never taken; there are
// fewer of them than entries. Safe for use by several goroutines.
type Cache[K comparable, V any] struct {
	max int
	mu  struct {
		sync.Mutex
		m    map[K]*Flight[K, V]
		ring []*Flight[K, V] // the same flights
		hand int
	}
}

// Flight is a question under way or its answer.
type Flight[K comparable, V any] struct {
	key     K
	done    chan struct{} // closed when v is set
	v       V
	expires time.Time
	// guarded by the cache's mu:
	place  int // in ring
	landed bool
	used   bool
}

// Done is closed when the flight has landed.
func (f *Flight[K, V]) Done() <-chan struct{} { return f.done }

// Value returns the answer of a flight that is Done.
func (f *Flight[K, V]) Value() V { return f.v }

// NewCache returns a cache of at most max entries.
func NewCache[K comparable, V any](max int) *Cache[K, V] {
	c := &Cache[K, V]{max: max}
	c.mu.m = map[K]*Flight[K, V]{}
	return c
}

// Get returns a fresh answer.
func (c *Cache[K, V]) Get(k K, now time.Time) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.mu.m[k]
	if f == nil || !f.landed || !now.Before(f.expires) {
		return v, false
	}
	f.used = true
	return f.v, true
}

// Begin returns the flight for k: one under way, one that has landed and is fresh, or a new one,
// which is the caller's to finish.
func (c *Cache[K, V]) Begin(k K, now time.Time) (f *Flight[K, V], mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.mu.m[k]
	if old != nil && (!old.landed || now.Before(old.expires)) {
		old.used = true
		return old, false
	}
	f = &Flight[K, V]{key: k, done: make(chan struct{})}
	c.mu.m[k] = f
	if old != nil {
		f.place = old.place
	} else {
		f.place = c.placeLocked()
	}
	c.mu.ring[f.place] = f
	return f, true
}

// placeLocked finds a place in the ring, whose old entry it forgets.
func (c *Cache[K, V]) placeLocked() int {
	n := len(c.mu.ring)
	for range 2 * n {
		if n < c.max {
			break
		}
		at := c.mu.hand
		c.mu.hand = (at + 1) % n
		if f := c.mu.ring[at]; f.used || !f.landed {
			f.used = false
		} else {
			delete(c.mu.m, f.key)
			return at
		}
	}
	c.mu.ring = append(c.mu.ring, nil)
	return n
}

// Finish lands the flight: those who wait for it get v, and so do others until expires.
func (c *Cache[K, V]) Finish(f *Flight[K, V], v V, expires time.Time) {
	c.mu.Lock()
	f.v, f.expires, f.landed = v, expires, true
	c.mu.Unlock()
	close(f.done)
}

// Len returns how many entries there are.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.m)
}
