package delivery

import (
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/queue"
)

// suspend has the queue acknowledge that these, and nothing else, are suspended.
func (w *world) suspend(version uint64, all ...queue.Suspension) {
	w.t.Helper()
	for i := range all {
		all[i].Reason, all[i].Serial = "for a test", version
	}
	if _, err := w.queue.Suspend(w.t.Context(), version, all); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) arrived(domain string, want int) {
	w.t.Helper()
	if n := len(w.net.at(domain).received()); n != want {
		w.t.Errorf("%d messages arrived at %s, want %d", n, domain, want)
	}
}

// While a domain is suspended nothing of it is tried, old or new, and its recipients stay as they
// are; when the time is over it goes on by itself.
func TestSuspendedDomain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.at("a.test").refuse = down
		w.flood(300, "t", "", "a.test")
		w.after(time.Minute)
		w.suspend(1, queue.Suspension{Kind: queue.SuspendDomain, Name: "a.test",
			Lasts: 10 * time.Hour})
		tried := w.net.at("a.test").connected()
		w.net.at("a.test").set(func(r *remote) { r.refuse = nil })
		w.flood(300, "t", "", "a.test")
		w.flood(300, "t", "", "b.test")
		w.sched.Flush("a.test")
		w.after(9 * time.Hour)
		w.arrived("a.test", 0)
		w.arrived("b.test", 300)
		if n := w.net.at("a.test").connected(); n != tried {
			t.Errorf("%d connects while it is suspended", n-tried)
		}
		why, ok := w.sched.Suspension("a.test", &mail.Origin{})
		if !ok || why.Reason != "for a test" || why.Until.IsZero() {
			t.Errorf("why: %+v, %v", why, ok)
		}
		if _, ok := w.sched.Suspension("b.test", &mail.Origin{}); ok {
			t.Error("b.test is suspended, too")
		}
		if put := w.sched.Stats().Deferred; put != 0 {
			t.Errorf("%d recipients were put off one by one", put)
		}
		w.after(2 * time.Hour)
		w.arrived("a.test", 600)
		if _, ok := w.sched.Suspension("a.test", &mail.Origin{}); ok {
			t.Error("the suspension outlasts its time")
		}
	})
}

// Resuming is enough: nobody waits for a timer.
func TestResume(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		kinds := []queue.Suspension{{Kind: queue.SuspendDomain, Name: "a.test"},
			{Kind: queue.SuspendTenant, Name: "t"},
			{Kind: queue.SuspendCampaign, Name: "spring"},
			{Kind: queue.SuspendSite, Name: "mx.a.test"}, {Kind: queue.SuspendSite, Name: "a.test"}}
		w.flood(10, "t", "spring", "a.test")
		w.after(time.Second)
		for i, s := range kinds {
			w.suspend(uint64(2*i+1), s)
			w.flood(100, "t", "spring", "a.test")
			w.after(time.Minute)
			w.arrived("a.test", 10+100*i)
			if _, ok := w.sched.Suspension("a.test",
				&mail.Origin{Tenant: "t", Campaign: "spring"}); !ok {
				t.Errorf("%+v is not told of", s)
			}
			w.suspend(uint64(2*i + 2))
			w.after(2 * time.Second)
			w.arrived("a.test", 110+100*i)
		}
	})
}

// A suspended tenant's flood, many times as long as a window, keeps nobody else's mail back; when
// it goes on its limits hold.
func TestSuspendedTenantYieldsTheWindow(t *testing.T) {
	inWorld(t, func(w *world) { w.o.Window, w.o.WindowTotal = 50, 200 }, func(w *world) {
		w.suspend(1, queue.Suspension{Kind: queue.SuspendTenant, Name: "t1"})
		w.flood(3000, "t1", "", "a.test")
		w.halt()
		w.boot() // all is on disk, and the suspension, too
		w.readSuspensions()
		w.flood(100, "t2", "", "a.test")
		w.after(time.Minute)
		w.arrived("a.test", 100)
		w.suspend(2)
		w.after(time.Hour)
		w.arrived("a.test", 3100)
		if n := w.net.at("a.test").mostOpen(); n > 20 {
			t.Errorf("%d connections at a time", n)
		}
	})
}

// readSuspensions tells a new scheduler what its queue has acknowledged.
func (w *world) readSuspensions() {
	w.t.Helper()
	list, err := w.queue.Suspensions()
	if err != nil || len(list.All) == 0 {
		w.t.Fatal(list, err)
	}
	w.sched.Suspended(list)
}

// An attempt that was under way when the suspension came may finish.
func TestSuspendLetsFinish(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.at("a.test").latency = 10 * time.Second
		w.flood(30, "t", "", "a.test")
		w.after(15 * time.Second) // connected, and half through the first transactions
		w.suspend(1, queue.Suspension{Kind: queue.SuspendDomain, Name: "a.test"})
		w.after(time.Hour)
		w.arrived("a.test", initialConnections)
		w.suspend(2)
		w.after(time.Hour)
		w.arrived("a.test", 30)
	})
}

// Suspended mail expires in its time.
func TestSuspendedMailExpires(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.suspend(1, queue.Suspension{Kind: queue.SuspendDomain, Name: "a.test"})
		w.flood(3, "t", "", "a.test")
		w.after(6 * 24 * time.Hour)
		expired := w.log.of(maillog.Expiration)
		if len(expired) != 3 {
			t.Errorf("%d recipients expired", len(expired))
		}
		for _, r := range expired {
			if r.Text != suspendedText {
				t.Errorf("the sender is told %q", r.Text)
			}
		}
	})
}

// Nothing is read for a destination that is suspended, again and again.
func TestSuspendedIsAtRest(t *testing.T) {
	for seed := range uint64(20) {
		s := newSim(t, seed)
		s.suspension.Version = 1
		for _, kind := range []queue.Suspension{{Kind: queue.SuspendTenant, Name: "t0"},
			{Kind: queue.SuspendTenant, Name: "t1"}, {Kind: queue.SuspendSite, Name: "site0"},
			{Kind: queue.SuspendDomain, Name: "d1"}} {
			s.suspension.All = append(s.suspension.All, kind)
		}
		s.core.suspend(s.suspension, s.now)
		for range 50 {
			s.accept()
		}
		for steps := 0; s.step(); steps++ {
			if steps > 20_000 {
				t.Fatalf("seed %d: it does not come to rest", seed)
			}
		}
		s.core.check(t)
	}
}
