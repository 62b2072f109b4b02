package delivery

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// Shutdown lets the transactions under way end and starts no other.
func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.latency = time.Second
		w.flood(100, "t", "", "a.test")
		w.after(2500 * time.Millisecond) // two connections are in their transactions
		under := r.mostOpen()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		began := len(r.transactions())
		if err := w.sched.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		w.after(time.Second) // the queue records the last outcomes
		got := len(r.received())
		if got == 0 || got > began+under || r.open != 0 {
			t.Errorf("%d messages delivered, %d had begun, %d connections open", got, began, r.open)
		}
		if n := w.count(queue.Filter{}).Recipients; n != int64(100-got) {
			t.Errorf("%d recipients left, %d delivered of 100", n, got)
		}
	})
}

// A transaction that does not end is cut off when the grace time is over.
func TestShutdownCutsOff(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		stop := make(chan struct{})
		r.cut = func(tx *smtpclient.Transaction) *smtpclient.Result {
			<-stop
			return lost(tx, 451, "4.4.2", false)
		}
		r.aborted = func() { close(stop) }
		w.submit(message("s@x.test", "1@a.test"))
		w.after(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := w.sched.Shutdown(ctx); err == nil {
			t.Error("Shutdown does not say that it cut something off")
		}
	})
}

// A node that is no longer the owner starts nothing, and what it has begun ends before the end of data.
func TestNotTheOwner(t *testing.T) {
	var owner atomic.Bool
	owner.Store(true)
	inWorld(t, func(w *world) { w.o.Owner = owner.Load }, func(w *world) {
		r := w.net.at("a.test")
		r.cut = func(*smtpclient.Transaction) *smtpclient.Result {
			owner.Store(false) // just before the end of data
			return nil
		}
		w.submit(message("s@x.test", "1@a.test"))
		w.submit(message("s@x.test", "2@a.test"))
		w.after(time.Hour)
		if n := len(r.received()); n != 0 || len(r.transactions()) > 2 {
			t.Errorf("%d messages delivered in %d transactions", n, len(r.transactions()))
		}
		if n := w.count(queue.Filter{States: []queue.State{queue.Ready}}).Recipients; n != 2 {
			t.Errorf("%d recipients ready, want 2", n)
		}
		r.set(func(r *remote) { r.cut = nil })
		owner.Store(true)
		w.after(time.Minute)
		if n := len(r.received()); n != 2 {
			t.Errorf("%d messages delivered after that, want 2", n)
		}
	})
}

// What an operator holds is not attempted, what he releases is, at once; what he removes never.
func TestOperator(t *testing.T) {
	inWorld(t, func(w *world) {
		w.o.Shaping = map[string]Shaping{"default": {Rate: Rate{1, time.Minute}}}
	}, func(w *world) {
		var ids []mail.ID
		for range 30 {
			ids = append(ids, w.submit(message("s@x.test", "1@a.test")))
		}
		w.after(time.Second)
		ctx := w.t.Context()
		if _, err := w.queue.Hold(ctx, queue.Filter{IDs: ids[10:20]}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := w.queue.Remove(ctx, queue.Filter{IDs: ids[20:]}, nil); err != nil {
			t.Fatal(err)
		}
		w.after(time.Hour)
		r := w.net.at("a.test")
		if n := len(r.received()); n != 10 {
			t.Errorf("%d messages delivered, want 10", n)
		}
		if _, err := w.queue.ReleaseHeld(ctx, queue.Filter{IDs: ids[10:20]}, nil); err != nil {
			t.Fatal(err)
		}
		w.after(time.Hour)
		if n := len(r.received()); n != 20 {
			t.Errorf("%d messages delivered after the release, want 20", n)
		}
	})
}
