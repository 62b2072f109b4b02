package eventloop

import (
	"math/rand/v2"
	"testing"
)

// TestWheelAgainstModel compares the wheel with a plain table of deadlines: a timer fires at its
// tick, neither before nor after.
func TestWheelAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := &wheel{}
		timers := make([]timer, 50)
		for range 20000 {
			switch tm := &timers[r.IntN(len(timers))]; r.IntN(10) {
			case 0:
				w.unlink(tm)
				tm.due = 0
			case 1:
				w.set(tm, 0)
			case 2:
				w.set(tm, w.now+1+r.Int64N(5*wheelSlots))
			default:
				w.set(tm, w.now+1+r.Int64N(100))
			}
			step(t, w, timers, w.now+r.Int64N(4), seed)
		}
		step(t, w, timers, w.now+6*wheelSlots, seed) // a long halt: all fire
		for i := range timers {
			if timers[i].due != 0 || timers[i].at != 0 {
				t.Fatalf("seed %d: a timer is left over: %+v", seed, timers[i])
			}
		}
	}
}

func step(t *testing.T, w *wheel, timers []timer, now int64, seed uint64) {
	t.Helper()
	due := map[*timer]bool{}
	for i := range timers {
		if d := timers[i].due; d != 0 && d <= now {
			due[&timers[i]] = true
		}
	}
	w.advance(now, func(tm *timer) {
		if !due[tm] {
			t.Fatalf("seed %d: at %d fired a timer that is not due", seed, now)
		}
		delete(due, tm)
	})
	if len(due) != 0 {
		t.Fatalf("seed %d: at %d %d timers did not fire", seed, now, len(due))
	}
}

// TestWheelFireMayChangeTimers: a handler that is told of a timeout sets a new one, or closes
// another connection.
func TestWheelFireMayChangeTimers(t *testing.T) {
	w := &wheel{}
	var a, b, c timer
	for _, tm := range []*timer{&a, &b, &c} {
		w.set(tm, 5)
	}
	fired := 0
	w.advance(5, func(tm *timer) {
		fired++
		for _, other := range []*timer{&a, &b, &c} {
			if other != tm {
				w.unlink(other)
				other.due = 0
			}
		}
		w.set(tm, 7)
	})
	w.advance(7, func(*timer) { fired++ })
	if fired != 2 {
		t.Fatalf("fired %d times, want 2", fired)
	}
}

// TestWheelHalt: a deadline is not used up by a time in which the loop stood still.
func TestWheelHalt(t *testing.T) {
	w := &wheel{now: 100}
	var tm timer
	fired := int64(0)
	now := int64(100)
	tick := func() { w.tick(now, func(*timer) { fired = now }) }
	w.set(&tm, 150)
	now += 10_000 // a halt
	tick()
	for range 48 {
		now++
		tick()
	}
	if fired != 0 {
		t.Fatal("the halt has used up the deadline")
	}
	now++
	if tick(); fired == 0 {
		t.Fatal("the deadline did not fire")
	}
	w.set(&tm, w.now+5)
	now += haltTicks // only late
	if tick(); fired != now {
		t.Fatal("lateness was taken for a halt")
	}
}
