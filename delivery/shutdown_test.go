package delivery

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/share"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
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
		w.submit(envelopeOf("s@x.test", "1@a.test"))
		w.after(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := w.sched.Shutdown(ctx); err == nil {
			t.Error("Shutdown does not say that it cut something off")
		}
	})
}

// A node that is no longer the owner starts nothing, and what it has begun ends before the end of
// data.
func TestNotTheOwner(t *testing.T) {
	var owner atomic.Bool
	owner.Store(true)
	inWorld(t, func(w *world) { w.o.Owner = owner.Load }, func(w *world) {
		r := w.net.at("a.test")
		r.cut = func(*smtpclient.Transaction) *smtpclient.Result {
			owner.Store(false) // just before the end of data
			return nil
		}
		w.submit(envelopeOf("s@x.test", "1@a.test"))
		w.submit(envelopeOf("s@x.test", "2@a.test"))
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

// A deposed owner cuts off what has not reached the end of data, waits a little for the replies to
// what has, and settles nothing: the next owner attempts it all again and says that it may be a
// duplicate.
func TestAbandon(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		early, late, never := w.net.at("early.test"), w.net.at("late.test"), w.net.at("never.test")
		aborted, forgotten := make(chan struct{}), make(chan struct{})
		early.cut = func(tx *smtpclient.Transaction) *smtpclient.Result {
			<-aborted
			return lost(tx, 451, "4.4.2", false)
		}
		early.aborted = sync.OnceFunc(func() { close(aborted) })
		late.answer = func(*smtpclient.Transaction, int) smtpclient.Status {
			time.Sleep(time.Second)
			return reply(250, "2.0.0", "Ok")
		}
		never.answer = func(*smtpclient.Transaction, int) smtpclient.Status {
			<-forgotten
			return reply(451, "4.4.2", "connection lost")
		}
		never.aborted = sync.OnceFunc(func() { close(forgotten) })
		w.flood(3, "t", "", "idle.test")
		for _, to := range []string{"1@early.test", "2@late.test", "3@never.test"} {
			w.submit(envelopeOf("s@x.test", to))
		}
		w.after(500 * time.Millisecond)
		begin := time.Now()
		w.sched.Abandon()
		if took := time.Since(begin); took < 500*time.Millisecond || took >= share.DefaultLinger {
			t.Errorf("Abandon took %v", took)
		}
		if n := early.open + late.open + never.open + w.net.at("idle.test").open; n != 0 {
			t.Errorf("%d connections are open", n)
		}
		if n := len(early.received()); n != 0 {
			t.Error("what had not reached the end of data was delivered")
		}
		if n := w.count(queue.Filter{}).Recipients; n != 3 {
			t.Errorf("%d recipients left, want 3: nothing is settled", n)
		}
		for _, r := range []*remote{early, late, never} {
			r.set(func(r *remote) { r.cut, r.answer = nil, nil })
		}
		w.queue.Abandon()
		w.reporter.Stop()
		w.boot()
		w.after(time.Minute)
		if n := len(late.received()); n != 2 {
			t.Errorf("delivered %d times, want twice", n)
		}
		doubtful := map[string]bool{}
		for _, r := range w.log.of(maillog.Delivery) {
			if r.PossibleDuplicate {
				doubtful[r.Recipient] = true
			}
		}
		if len(doubtful) != 3 {
			t.Errorf("logged as possible duplicates: %v, want all 3", doubtful)
		}
	})
}

// TestNotTheOwnerClosesConnections: a member that is not the owner keeps no connections for later.
func TestNotTheOwnerClosesConnections(t *testing.T) {
	var owner atomic.Bool
	owner.Store(true)
	inWorld(t, func(w *world) { w.o.Owner = owner.Load }, func(w *world) {
		r := w.net.at("a.test")
		r.latency = 100 * time.Millisecond
		w.flood(100, "t", "", "a.test")
		w.after(time.Second)
		owner.Store(false)
		w.after(time.Second)
		if st := w.sched.Stats(); st.Connections != 0 {
			t.Errorf("%d connections are open", st.Connections)
		}
		owner.Store(true)
		w.after(time.Minute)
	})
}

// TestOperator: held mail is not attempted, released mail is, at once, and removed mail never.
func TestOperator(t *testing.T) {
	inWorld(t, func(w *world) {
		w.o.Shaping = map[string]Shaping{"default": {Rate: Rate{Count: 1, Per: time.Minute}}}
	}, func(w *world) {
		var ids []mail.ID
		for range 30 {
			ids = append(ids, w.submit(envelopeOf("s@x.test", "1@a.test")))
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
