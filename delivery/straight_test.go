package delivery

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/queue"
)

// A message goes straight from memory to its host; two recipients of one site go in one
// transaction.
func TestStraightThrough(t *testing.T) {
	inWorld(t, func(w *world) {
		w.net.mx["a.test"] = []string{"mx.shared.test"}
		w.net.mx["b.test"] = []string{"mx.shared.test"}
	}, func(w *world) {
		w.submit(envelopeOf("s@x.test", "1@a.test", "2@b.test", "3@c.test"))
		w.after(time.Second)
		shared, other := w.net.host("mx.shared.test").received(), w.net.at("c.test").received()
		if len(shared) != 2 || shared[0].size != 2 || len(other) != 1 || other[0].to != "3@c.test" {
			t.Errorf("the shared host got %+v, the other %+v", shared, other)
		}
		if want := "Subject: s@x.test\r\n\r\nhello\r\n"; shared[0].content != want {
			t.Errorf("content %q, want %q", shared[0].content, want)
		}
		if n := len(w.log.of(maillog.Delivery)); n != 3 {
			t.Errorf("%d deliveries logged, want 3", n)
		}
		if total := w.count(queue.Filter{}); total.Recipients != 0 {
			t.Errorf("%d recipients left", total.Recipients)
		}
		if len(w.log.removed) != 1 {
			t.Errorf("%d messages logged as removed, want 1", len(w.log.removed))
		}
	})
}

// Many messages to many domains all arrive once.
func TestManyArriveOnce(t *testing.T) {
	inWorld(t, func(w *world) { w.o.WindowTotal, w.o.Window = 300, 40 }, func(w *world) {
		const n = 3000
		for i := range n {
			w.submit(envelopeOf("s@x.test", fmt.Sprintf("r%d@d%d.test", i, i%37)))
		}
		w.after(time.Minute)
		seen := map[string]int{}
		for i := range 37 {
			for _, d := range w.net.at(fmt.Sprintf("d%d.test", i)).received() {
				seen[d.to]++
			}
		}
		for to, times := range seen {
			if times != 1 {
				t.Errorf("%s got its message %d times", to, times)
			}
		}
		if len(seen) != n {
			t.Errorf("%d of %d messages arrived", len(seen), n)
		}
	})
}

// A hold is told which attempts it does not stop, at once and for a moment after their end.
func TestCaught(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.at("a.test").latency = 10 * time.Second
		first := w.submit(envelopeOf("s@x.test", "1@a.test", "2@b.test"))
		w.after(15 * time.Second)
		later := w.submit(envelopeOf("s@x.test", "3@c.test"))
		if w.sched.Caught(first, 0) {
			t.Error("caught without a command")
		}
		if total, err := w.queue.Hold(context.Background(), queue.Filter{}, nil); err != nil ||
			total.Messages == 0 {
			t.Fatalf("%+v, %v", total, err)
		}
		if !w.sched.Caught(first, 0) || w.sched.Caught(first, 1) || w.sched.Caught(later, 0) {
			t.Errorf("caught: %v %v %v", w.sched.Caught(first, 0), w.sched.Caught(first, 1),
				w.sched.Caught(later, 0))
		}
		w.after(10 * time.Second)
		w.submit(envelopeOf("s@x.test", "4@d.test"))
		if _, err := w.queue.Hold(context.Background(), queue.Filter{}, nil); err != nil ||
			w.sched.Caught(first, 0) {
			t.Errorf("%v; caught long after: %v", err, w.sched.Caught(first, 0))
		}
	})
}

// A listing sees what is being attempted.
func TestInFlight(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.at("a.test").latency = 10 * time.Second
		id := w.submit(envelopeOf("s@x.test", "1@a.test"))
		if w.sched.InFlight(id, 0) {
			t.Error("in flight before the connection is there")
		}
		w.after(15 * time.Second)
		if !w.sched.InFlight(id, 0) || w.sched.InFlight(id, 1) {
			t.Error("not in flight while it is sent")
		}
		w.after(10 * time.Second)
		if w.sched.InFlight(id, 0) {
			t.Error("in flight after it was sent")
		}
	})
}
