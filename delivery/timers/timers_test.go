package timers

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Timers that are set, moved and stopped at random fire in the order of their times, and only those
// that are set.
func TestHeap(t *testing.T) {
	var h Heap
	var all [50]Timer
	start := time.Unix(1_700_000_000, 0)
	want := map[*Timer]time.Time{}
	for range 20_000 {
		a, at := &all[rand.IntN(len(all))], start.Add(time.Duration(rand.IntN(1000))*time.Second)
		was, set := want[a]
		switch rand.IntN(4) {
		case 0:
			h.Set(a, at)
			want[a] = at
		case 1:
			h.SetEarlier(a, at)
			if !set || at.Before(was) {
				want[a] = at
			}
		case 2:
			h.Stop(a)
			delete(want, a)
		default:
			a = h.Due(at)
			for _, when := range want {
				if a == nil && !when.After(at) || a != nil && when.Before(want[a]) {
					t.Fatalf("the timer at %v does not fire first at %v", when, at)
				}
			}
			if _, ok := want[a]; a != nil && (!ok || want[a].After(at)) {
				t.Fatal("a timer fires that is not set, or too early")
			}
			delete(want, a)
		}
		if next, ok := h.Next(); ok != (len(want) > 0) || len(h) != len(want) {
			t.Fatalf("%d are set, want %d; next at %v", len(h), len(want), next)
		}
	}
}
