package mx

import (
	"sync"
	"time"
)

// cache is a bounded map of answers and of questions under way: an entry is a flight that others join, and when it has landed the
// answer itself. Over the bound the clock hand takes an entry that was not used since it last passed (second
// chance); flights are never taken.
type cache[K comparable, V any] struct {
	max int
	mu  struct {
		sync.Mutex
		m    map[K]*flight[K, V]
		ring []*flight[K, V]
		hand int
	}
}

type flight[K comparable, V any] struct {
	key     K
	done    chan struct{} // closed when v and expires are set
	v       V
	expires time.Time
	landed  bool // guarded by the cache's mu, as used
	used    bool
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

// begin returns the flight for k: one under way, one that has landed and is fresh, or a new one, which is the caller's to finish.
func (c *cache[K, V]) begin(k K, now time.Time) (f *flight[K, V], mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.mu.m[k]
	if old != nil && (!old.landed || now.Before(old.expires)) {
		old.used = true
		return old, false
	}
	f = &flight[K, V]{key: k, done: make(chan struct{})}
	c.insertLocked(f, old)
	return f, true
}

func (c *cache[K, V]) insertLocked(f, old *flight[K, V]) {
	c.mu.m[f.key] = f
	if old != nil {
		for i, x := range c.mu.ring { // replaced in place; see takeLocked for why this is rare
			if x == old {
				c.mu.ring[i] = f
				return
			}
		}
	}
	if len(c.mu.ring) < c.max {
		c.mu.ring = append(c.mu.ring, f)
		return
	}
	c.mu.ring[c.takeLocked()] = f
}
