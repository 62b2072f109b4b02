package dns

import (
	"testing"
	"time"
)

func TestCacheIsBounded(t *testing.T) {
	c := NewCache[int, int](100)
	now := time.Now()
	for i := range 1000 {
		f, mine := c.Begin(i, now)
		if !mine {
			t.Fatal("not mine")
		}
		c.Finish(f, i, now.Add(time.Hour))
		if _, ok := c.Get(0, now); !ok { // used all the time: stays
			t.Fatal("the entry in use was taken")
		}
	}
	if c.Len() != 100 || len(c.mu.ring) != 100 {
		t.Fatal(c.Len(), len(c.mu.ring))
	}
	f, _ := c.Begin(5000, now) // under way: never taken
	for i := range 1000 {
		g, _ := c.Begin(10_000+i, now)
		c.Finish(g, i, now)
	}
	if g, mine := c.Begin(5000, now); mine || g != f {
		t.Fatal("the flight was taken")
	}
	for i, f := range c.mu.ring {
		if c.mu.m[f.key] != f || f.place != i {
			t.Fatal("ring and map differ at", i)
		}
	}
}
