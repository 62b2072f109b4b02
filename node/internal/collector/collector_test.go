package collector

import (
	"testing"
	"time"
)

// TestCollectorGetsMoreRoom: a limit that is too low for what is alive is raised, step by step, and
// lowered again when that has passed.
func TestCollectorGetsMoreRoom(t *testing.T) {
	var c collector
	now := time.Unix(1_800_000_000, 0)
	gc, all := 5.0, 100.0
	after := func(seconds, share float64) int64 {
		now = now.Add(time.Duration(seconds) * time.Second)
		gc, all = gc+2*seconds*share, all+2*seconds
		return c.extra(now, gc, all)
	}
	for i, step := range []struct {
		seconds, share float64
		more           int64
	}{{0, 0, 0}, {10, 0.1, 0}, {5, 0.5, 0}, {5, 0.5, 1}, {10, 0.2, 2}, {10, 0.1, 2},
		{10, 0.01, 1}, {10, 0, 0}, {10, 0, 0}} {
		if got := after(step.seconds, step.share); got != step.more*moreMemory {
			t.Errorf("step %d: %d octets more, want %d times %d", i, got, step.more, moreMemory)
		}
	}
}
