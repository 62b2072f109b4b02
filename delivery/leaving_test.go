package delivery

import (
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// stored reads a message as it waits.
func (w *world) stored(id mail.ID) []*queue.Stored {
	w.t.Helper()
	s, err := w.queue.Load(id)
	if err != nil || s == nil {
		w.t.Fatal(s, err)
	}
	return []*queue.Stored{s}
}

// TestLeave: mail that is to leave is not attempted when it becomes due or is resumed; when it
// stays after all it is, at once.
func TestLeave(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.suspend(1, queue.Suspension{Kind: queue.SuspendDomain, Name: "a.test"})
		id := w.submit(envelopeOf("s@s.test", "r@a.test"))
		w.after(time.Minute)
		if idle := w.sched.Leave(w.stored(id)); len(idle) != 1 {
			t.Fatal("it is said to be under way")
		}
		w.suspend(2)
		w.sched.Flush()
		w.after(time.Hour)
		w.arrived("a.test", 0)
		w.sched.Stay(w.stored(id))
		w.after(time.Second)
		w.arrived("a.test", 1)
	})
}

// TestLeaveWhileAttempted: mail that is being attempted cannot leave.
func TestLeaveWhileAttempted(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.at("a.test").latency = 20 * time.Second
		id := w.submit(envelopeOf("s@s.test", "r@a.test"))
		w.after(30 * time.Second)
		if _, err := w.queue.Hold(w.t.Context(), queue.Filter{}, nil); err != nil {
			t.Fatal(err)
		}
		if idle := w.sched.Leave(w.stored(id)); len(idle) != 0 {
			t.Error("it may leave while it is being attempted")
		}
		w.after(10 * time.Minute)
		w.arrived("a.test", 1)
	})
}
