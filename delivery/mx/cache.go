package mx

import (
	"sync"
	"time"
)

// cache is a bounded map of answers and of questions under way: an entry is a flight that others
// join, and when it has landed the answer itself. Over the bound the clock hand takes an entry that
// was not used since it last passed (second chance). Flights under way are never taken; there are
// fewer of them than entries.
type cache[K comparable, V any] struct {
	max int
	mu  struct {
		sync.Mutex
		m    map[K]*flight[K, V]
		ring []*flight[K, V] // the same flights
		hand int
	}
}

type flight[K comparable, V any] struct {
	key     K
	done    chan struct{} // closed when v is set
	v       V
	expires time.Time
	// guarded by the cache's mu:
	place  int // in ring
	landed bool
	used   bool
}

func newCache[K comparable, V any](max int) *cache[K, V] {
	c := &cache[K, V]{max: max}
	c.mu.m = map[K]*flight[K, V]{}
	return c
}

// get returns a fresh answer.
func (c *cache[K, V]) get(k K, now time.Time) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.mu.m[k]
	if f == nil || !f.landed || !now.Before(f.expires) {
		return v, false
	}
	f.used = true
	return f.v, true
}

// begin returns the flight for k: one under way, one that has landed and is fresh, or a new one,
// which is the caller's to finish.
func (c *cache[K, V]) begin(k K, now time.Time) (f *flight[K, V], mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.mu.m[k]
	if old != nil && (!old.landed || now.Before(old.expires)) {
		old.used = true
		return old, false
	}
	f = &flight[K, V]{key: k, done: make(chan struct{})}
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
func (c *cache[K, V]) placeLocked() int {
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

// finish lands the flight.
func (c *cache[K, V]) finish(f *flight[K, V], v V, expires time.Time) {
	c.mu.Lock()
	f.v, f.expires, f.landed = v, expires, true
	c.mu.Unlock()
	close(f.done)
}

func (c *cache[K, V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.m)
}
