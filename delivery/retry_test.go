package delivery

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/jitter"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/queue"
)

// always answers every recipient the same.
func always(st smtpclient.Status) func(*smtpclient.Transaction, int) smtpclient.Status {
	return func(*smtpclient.Transaction, int) smtpclient.Status { return st }
}

// A recipient that is put off is tried by the schedule, within its jitter, until its time runs out;
// its sender hears once of the delay and once of the end.
func TestRetryScheduleAndExpiry(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.answer = always(reply(450, "4.2.1", "mailbox busy"))
		begin := time.Now()
		w.submit(envelopeOf("s@x.test", "1@a.test"))
		w.after(6 * 24 * time.Hour)

		schedule := w.sched.retry().Schedule
		times := r.transactions()
		for i := 1; i < len(times); i++ {
			want := schedule[min(i-1, len(schedule)-1)]
			got := times[i].Sub(times[i-1])
			if i == len(times)-1 && got < want {
				continue // just before the end
			}
			if low, high := want-want/8, want+want/8+5*time.Second; got < low || got > high {
				t.Errorf("attempt %d came %v after the one before, want %v to %v", i+1, got, low,
					high)
			}
		}
		// 7.85 h for the first seven, then one in 3.5 to 4.5 h
		if n := len(times); n < 28 || n > 40 {
			t.Errorf("%d attempts in 5 days", n)
		}
		if last := times[len(times)-1].Sub(begin); last > 5*24*time.Hour {
			t.Errorf("the last attempt came after %v", last)
		}
		w.reported("s@x.test", "delayed", "failed")
		expired := w.log.of(maillog.Expiration)
		if len(expired) != 1 || expired[0].Enhanced != "4.2.1" {
			t.Errorf("expirations: %+v", expired)
		}
		warned := w.log.of(maillog.Delayed)
		if len(warned) != 1 || warned[0].At.Sub(begin) < 4*time.Hour ||
			warned[0].At.Sub(begin) > 4*time.Hour+2*time.Minute {
			t.Errorf("delay warnings: %+v", warned)
		}
		if n := w.count(queue.Filter{}).Messages; n != 0 {
			t.Errorf("%d messages left", n)
		}
	})
}

// reported checks the actions of the reports that a sender got, in order.
func (w *world) reported(sender string, actions ...string) {
	w.t.Helper()
	var got []string
	for _, d := range w.net.at(mail.DomainOf(sender)).received() {
		if d.to != sender || d.sender != "" {
			continue
		}
		for line := range strings.Lines(d.content) {
			if action, ok := strings.CutPrefix(line, "Action: "); ok {
				got = append(got, strings.TrimSpace(action))
			}
		}
	}
	if strings.Join(got, " ") != strings.Join(actions, " ") {
		w.t.Errorf("%s had reports of %v, want %v", sender, got, actions)
	}
}

// RFC 3461: who is told of what.
func TestReports(t *testing.T) {
	cases := []struct {
		name    string
		sender  string
		notify  mail.Notify
		answer  smtpclient.Status
		hopDSN  bool
		actions []string
	}{
		{"failure, no NOTIFY", "s@x.test", 0, reply(550, "5.1.1", "no such user"), false,
			[]string{"failed"}},
		{"failure, NOTIFY=FAILURE", "s@x.test", mail.NotifyFailure,
			reply(550, "5.1.1", "no such user"), false, []string{"failed"}},
		{"failure, NOTIFY=SUCCESS", "s@x.test", mail.NotifySuccess,
			reply(550, "5.1.1", "no such user"), false, nil},
		{"failure, NOTIFY=NEVER", "s@x.test", mail.NotifyNever, reply(550, "5.1.1", "no such user"),
			false, nil},
		{"failure, null reverse-path", "", 0, reply(550, "5.1.1", "no such user"), false, nil},
		{"success, no NOTIFY", "s@x.test", 0, reply(250, "2.0.0", "Ok"), false, nil},
		{"success, NOTIFY=SUCCESS, hop without DSN", "s@x.test", mail.NotifySuccess,
			reply(250, "2.0.0", "Ok"), false, []string{"relayed"}},
		{"success, NOTIFY=SUCCESS, hop with DSN", "s@x.test", mail.NotifySuccess,
			reply(250, "2.0.0", "Ok"), true, nil},
		{"delay, no NOTIFY", "s@x.test", 0, reply(450, "4.2.1", "busy"), false,
			[]string{"delayed"}},
		{"delay, NOTIFY=DELAY", "s@x.test", mail.NotifyDelay, reply(450, "4.2.1", "busy"), false,
			[]string{"delayed"}},
		{"delay, NOTIFY=FAILURE", "s@x.test", mail.NotifyFailure, reply(450, "4.2.1", "busy"),
			false, nil},
		{"delay, null reverse-path", "", 0, reply(450, "4.2.1", "busy"), false, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				r := w.net.at("a.test")
				r.answer, r.dsn = always(c.answer), c.hopDSN
				env := envelopeOf(c.sender, "1@a.test")
				env.Recipients[0].Notify = c.notify
				w.submit(env)
				w.after(24 * time.Hour)
				w.reported("s@x.test", c.actions...)
			})
		})
	}
}

// Recipients that fail together are in one report; a report that fails itself is counted and
// reported to nobody.
func TestReportOfSeveralAndDoubleBounce(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.at("a.test").answer = func(tx *smtpclient.Transaction, i int) smtpclient.Status {
			if strings.HasPrefix(tx.Recipients[i].Address, "bad") {
				return reply(550, "5.1.1", "no such user")
			}
			return reply(250, "2.0.0", "Ok")
		}
		w.net.at("x.test").answer = always(reply(550, "5.1.1", "no such user"))
		w.submit(envelopeOf("s@x.test", "bad1@a.test", "good@a.test", "bad2@a.test"))
		w.after(time.Hour)
		if n := len(w.log.of(maillog.Bounce)); n != 3 {
			t.Errorf("%d bounces, want 2 and that of the report", n)
		}
		if n := w.reporter.Made(); n != 1 {
			t.Errorf("%d reports, want 1", n)
		}
		if n := w.sched.Stats().DoubleBounces; n != 1 {
			t.Errorf("%d double bounces, want 1", n)
		}
		if n := w.count(queue.Filter{}).Messages; n != 0 {
			t.Errorf("%d messages left", n)
		}
	})
}

// Expiry and delay warnings come while the site is dead, too, with its reason; held mail has no
// clock.
func TestOldMailOfDeadSite(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.at("a.test").refuse = down
		id := w.submit(envelopeOf("held@x.test", "1@b.test"))
		w.net.at("b.test").refuse = down
		w.submit(envelopeOf("s@x.test", "1@a.test"))
		if _, err := w.queue.Hold(w.t.Context(), queue.Filter{IDs: []mail.ID{id}},
			nil); err != nil {
			t.Fatal(err)
		}
		w.after(6 * 24 * time.Hour)
		w.reported("s@x.test", "delayed", "failed")
		w.reported("held@x.test")
		for _, r := range w.log.of(maillog.Expiration) {
			if r.Text != "connection refused" || r.Attempts != 0 {
				t.Errorf("expired with %q after %d attempts", r.Text, r.Attempts)
			}
		}
		if n := w.count(queue.Filter{States: []queue.State{queue.Held}}).Messages; n != 1 {
			t.Errorf("%d held messages, want 1", n)
		}
	})
}

// TestReleaseOfOldMail: mail that is released after its time is tried once more.
func TestReleaseOfOldMail(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		ctx := w.t.Context()
		for _, domain := range []string{"a.test", "b.test"} {
			w.net.at(domain).refuse = down
			w.submit(envelopeOf("s@x.test", "1@"+domain))
		}
		if _, err := w.queue.Hold(ctx, queue.Filter{Domain: "a.test"}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := w.queue.Hold(ctx, queue.Filter{Domain: "b.test"}, nil); err != nil {
			t.Fatal(err)
		}
		w.after(7 * 24 * time.Hour)
		w.net.at("a.test").set(func(r *remote) { r.refuse = nil })
		if _, err := w.queue.ReleaseHeld(ctx, queue.Filter{Domain: "a.test"}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := w.queue.ReleaseHeld(ctx, queue.Filter{Domain: "b.test"}, nil); err != nil {
			t.Fatal(err)
		}
		w.sched.Flush()
		w.after(24 * time.Hour)
		if n := len(w.net.at("a.test").received()); n != 1 {
			t.Errorf("delivered %d times, want once", n)
		}
		w.reported("s@x.test", "failed") // the one whose site is still dead
	})
}

// A restart in the middle: what was being attempted is marked, and nothing is reported or delivered
// twice.
func TestRestart(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		a, b := w.net.at("a.test"), w.net.at("b.test")
		a.answer = always(reply(450, "4.2.1", "busy"))
		b.answer = always(reply(550, "5.1.1", "no such user"))
		w.submit(envelopeOf("s@x.test", "1@a.test", "2@b.test"))
		for range 5 {
			w.after(time.Hour)
			w.halt()
			w.boot()
		}
		a.set(func(r *remote) { r.answer = nil })
		w.after(6 * time.Hour)
		if n := len(a.received()); n != 1 {
			t.Errorf("delivered %d times", n)
		}
		w.reported("s@x.test", "failed", "delayed")
	})
}

// TestPossibleDuplicate: an attempt that may have been under way when the owner changed is marked
// as a possible duplicate.
func TestPossibleDuplicate(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.at("a.test").refuse = down
		w.submit(envelopeOf("s@x.test", "1@a.test"))
		w.after(time.Minute)
		// The process dies: the scheduler goes, and the queue cannot say that nothing was under
		// way.
		ctx := w.t.Context()
		if err := w.sched.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		w.reporter.Stop()
		over, cancel := context.WithCancel(ctx)
		cancel()
		w.queue.Stop(over)
		w.net.at("a.test").set(func(r *remote) { r.refuse = nil })
		w.boot()
		w.after(time.Minute)
		got := w.log.of(maillog.Delivery)
		if len(got) != 1 || !got[0].PossibleDuplicate {
			t.Errorf("deliveries: %+v, want one possible duplicate", got)
		}
	})
}

// The reply to the end of data is lost: put off, and logged as possible duplicate.
func TestReplyLost(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.cut = func(tx *smtpclient.Transaction) *smtpclient.Result {
			r.set(func(r *remote) { r.cut = nil })
			return lost(tx, 451, "4.4.2", true)
		}
		w.submit(envelopeOf("s@x.test", "1@a.test"))
		w.after(time.Hour)
		put := w.log.of(maillog.TransientFailure)
		if len(put) != 1 || !put[0].PossibleDuplicate {
			t.Errorf("transient failures: %+v, want one possible duplicate", put)
		}
		if n := len(r.received()); n != 1 {
			t.Errorf("delivered %d times after that, want 1", n)
		}
	})
}

// The same seed spreads retries the same way, within the bounds that the options promise.
func TestJitterIsSeeded(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := Retry{Schedule: []time.Duration{time.Minute, time.Hour}, Expire: 120 * time.Hour}
	one, same, other, store := jitter.New(7), jitter.New(7), jitter.New(8), jitter.New(9)
	differ := false
	id := mail.ID{1}
	if one.Of(id, 1, "s") == one.Of(id, 1, "t") || one.Of(id, 1, "s") == one.Of(id, 2, "s") ||
		one.Of(id, 1, "s") == one.Of(mail.ID{2}, 1, "s") {
		t.Error("message, attempt and site make no difference")
	}
	for n := range 100 {
		a, _ := r.next(one.Of(id, n, "s"), n, now, now)
		b, _ := r.next(same.Of(id, n, "s"), n, now, now)
		c, _ := r.next(other.Of(id, n, "s"), n, now, now)
		if a != b {
			t.Fatalf("attempt %d: one seed, two times: %v, %v", n, a, b)
		}
		differ = differ || a != c
		want := r.Schedule[min(n, 1)]
		if wait := a.Sub(now); wait < want-want/8 || wait > want+want/8 {
			t.Errorf("attempt %d: waits %v of %v", n, wait, want)
		}
		wait, base := quickly(store.Of(id, n, "s"), n), time.Second<<min(n, 8)
		if wait < base || wait > base*3/2 {
			t.Errorf("attempt %d: waits %v of %v for the store", n, wait, base)
		}
	}
	if !differ {
		t.Error("two seeds, one row of times")
	}
}

// TestDeferredTogether: recipients of one message that were put off together come back together.
func TestDeferredTogether(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.answer = func(*smtpclient.Transaction, int) smtpclient.Status {
			return smtpclient.Status{Code: 451, Reply: 451, Enhanced: "4.2.1", Text: "later",
				Command: smtpclient.StepRcpt}
		}
		var to []string
		for i := range 50 {
			to = append(to, fmt.Sprintf("u%d@a.test", i))
		}
		w.submit(envelopeOf("s@x.test", to...))
		w.after(3 * time.Hour)
		r.set(func(r *remote) { r.answer = nil })
		before := len(r.transactions())
		w.after(24 * time.Hour)
		if n := len(r.transactions()); n != before+1 || before > 10 || len(r.received()) != 50 {
			t.Errorf("%d transactions before, %d after, %d arrived", before, n-before,
				len(r.received()))
		}
	})
}
