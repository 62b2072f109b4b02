package delivery

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/queue/queuetest"
)

// operate has an operator do something to all that a filter selects, and returns how many
// recipients that moved.
func (w *world) operate(verb string, f queue.Filter) int64 {
	w.t.Helper()
	ctx, q := w.t.Context(), w.queue
	var total queue.Total
	var err error
	switch verb {
	case "hold":
		total, err = q.Hold(ctx, f, nil)
	case "release":
		total, err = q.ReleaseHeld(ctx, f, nil)
	case "flush":
		total, err = q.Flush(ctx, f, nil)
	case "remove":
		total, err = q.Remove(ctx, f, nil)
	}
	if err != nil {
		w.t.Errorf("%s: %v", verb, err)
	}
	return total.Recipients
}

func only(id mail.ID) queue.Filter { return queue.Filter{IDs: []mail.ID{id}} }

// A message that is held and released while it is being attempted is delivered by that attempt, and
// by no other.
func TestReleaseDuringAttempt(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.latency = 2 * time.Second
		id := w.submit(envelopeOf("s@x.test", "1@a.test", "2@a.test"))
		w.after(3 * time.Second) // connected after two, under way until four
		for _, verb := range []string{"hold", "release", "hold", "release"} {
			if n := w.operate(verb, only(id)); n != 2 {
				t.Errorf("%s moved %d recipients", verb, n)
			}
		}
		w.after(time.Minute)
		if got := r.received(); len(got) != 2 {
			t.Errorf("delivered %d times to two recipients: %+v", len(got), got)
		}
		if n := w.count(queue.Filter{}).Messages; n != 0 {
			t.Errorf("%d messages left", n)
		}
	})
}

// A flush that is made just before a retry falls due, and recorded after it has begun, makes no
// second attempt.
func TestFlushAsRetryFallsDue(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.answer = always(reply(450, "4.2.1", "not now"))
		id := w.submit(envelopeOf("s@x.test", "1@a.test"))
		w.after(time.Second)
		r.set(func(r *remote) {
			r.answer = nil
			r.cut = func(*smtpclient.Transaction) *smtpclient.Result {
				time.Sleep(time.Second)
				return nil
			}
		})
		w.group.Fault = func([]byte) queuetest.Fault {
			time.Sleep(300 * time.Millisecond)
			return queuetest.None
		}
		m, err := w.queue.Load(id)
		if err != nil || m == nil {
			t.Fatal(m, err)
		}
		w.after(time.Until(m.Recipients[0].Due) - 100*time.Millisecond)
		if n := w.operate("flush", only(id)); n != 1 {
			t.Errorf("flush moved %d recipients", n)
		}
		w.after(time.Minute)
		if got := r.received(); len(got) != 1 {
			t.Errorf("delivered %d times: %+v", len(got), got)
		}
	})
}

// TestHeldDuringAttemptThatWasNone: mail that turns out not to have been attempted is not tried
// again while it is held, and never when it was removed.
func TestHeldDuringAttemptThatWasNone(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.cut = func(*smtpclient.Transaction) *smtpclient.Result {
			time.Sleep(2 * time.Second)
			return &smtpclient.Result{Retry: true} // the connection was closed while it was idle
		}
		held := w.submit(envelopeOf("s@x.test", "held@a.test"))
		removed := w.submit(envelopeOf("s@x.test", "removed@a.test"))
		w.after(time.Second)
		w.operate("hold", only(held))
		w.operate("remove", only(removed))
		r.set(func(r *remote) { r.cut = nil })
		w.after(time.Minute)
		if got := r.received(); len(got) != 0 {
			t.Errorf("delivered: %+v", got)
		}
		w.operate("release", only(held))
		w.after(time.Minute)
		if got := r.received(); len(got) != 1 || got[0].to != "held@a.test" {
			t.Errorf("delivered after the release: %+v", got)
		}
	})
}

// An outcome that was decided before a verb is recorded before it: what is delivered cannot be held
// or removed any more, and what was put off is flushed.
func TestVerbAfterOutcome(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.group.Fault = func([]byte) queuetest.Fault {
			time.Sleep(300 * time.Millisecond)
			return queuetest.None
		}
		logged := func(typ maillog.Type) {
			for len(w.log.of(typ)) == 0 {
				w.after(time.Millisecond)
			}
		}
		sent := w.submit(envelopeOf("s@x.test", "1@a.test"))
		if logged(maillog.Delivery); w.operate("remove", only(sent)) != 0 {
			t.Errorf("a message was removed after it was delivered")
		}
		r := w.net.at("b.test")
		r.answer = always(reply(450, "4.2.1", "not now"))
		late := w.submit(envelopeOf("s@x.test", "1@b.test"))
		logged(maillog.TransientFailure)
		r.set(func(r *remote) { r.answer = nil })
		if n := w.operate("flush", only(late)); n != 1 {
			t.Errorf("flush moved %d recipients", n)
		}
		w.after(2 * time.Second)
		if got := r.received(); len(got) != 1 {
			t.Errorf("delivered after the flush: %+v", got)
		}
	})
}

// Whatever operators do at whatever moment, beside a slow store and slow hosts that put off and
// hang up, each recipient is delivered once.
func TestVerbsAtRandom(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorld(
				t,
				randomWorld(seed),
				func(w *world) { w.verbsAtRandom(rand.New(rand.NewPCG(seed, 2))) },
			)
		})
	}
}

// randomWorld has hosts that answer after up to two seconds, put off every fourth recipient and
// every tenth time have hung up.
func randomWorld(seed uint64) func(w *world) {
	return func(w *world) {
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(seed, 1))
		roll := func(n int) int { mu.Lock(); defer mu.Unlock(); return random.IntN(n) }
		w.o.Retry.Schedule = []time.Duration{5 * time.Second, 10 * time.Second}
		w.o.Window, w.o.Shaping = 8, map[string]Shaping{
			"default": {Connections: 3, RecipientsPerMessage: 2},
		}
		for _, domain := range []string{"a.test", "b.test", "c.test"} {
			r := w.net.at(domain)
			r.latency = 20 * time.Millisecond
			r.cut = func(*smtpclient.Transaction) *smtpclient.Result {
				time.Sleep(time.Duration(roll(2000)) * time.Millisecond)
				if roll(10) == 0 {
					return &smtpclient.Result{Retry: true}
				}
				return nil
			}
			r.answer = func(*smtpclient.Transaction, int) smtpclient.Status {
				if roll(4) == 0 {
					return reply(450, "4.2.1", "not now")
				}
				return reply(250, "2.0.0", "Ok")
			}
		}
	}
}

func (w *world) verbsAtRandom(random *rand.Rand) {
	var mu sync.Mutex
	w.group.Fault = func([]byte) queuetest.Fault {
		mu.Lock()
		d := time.Duration(random.IntN(400)) * time.Millisecond
		mu.Unlock()
		time.Sleep(d)
		return queuetest.None
	}
	roll := func(n int) int { mu.Lock(); defer mu.Unlock(); return random.IntN(n) }
	var ids []mail.ID
	recipients := 0
	for len(ids) < 60 {
		var to []string
		for i := range 1 + roll(4) {
			to = append(to, fmt.Sprintf("%d.%d@%c.test", len(ids), i, 'a'+roll(3)))
		}
		recipients += len(to)
		ids = append(ids, w.submit(envelopeOf("s@x.test", to...)))
		for range roll(4) {
			w.operate(
				[]string{"hold", "release", "flush"}[roll(3)],
				only(ids[max(0, len(ids)-1-roll(8))]),
			)
		}
	}
	for range 1000 {
		w.operate("release", queue.Filter{})
		w.operate("flush", queue.Filter{})
		if w.after(time.Duration(roll(3000)) * time.Millisecond); w.count(
			queue.Filter{},
		).Messages == 0 {
			break
		}
	}
	times := map[string]int{}
	for _, domain := range []string{"a.test", "b.test", "c.test"} {
		for _, d := range w.net.at(domain).received() {
			times[d.to]++
		}
	}
	for to, n := range times {
		if n != 1 {
			w.t.Errorf("%s was delivered %d times", to, n)
		}
	}
	if left := w.count(queue.Filter{}).Messages; len(times) != recipients || left != 0 {
		w.t.Errorf("%d of %d recipients delivered, %d messages left", len(times), recipients, left)
	}
}

// TestReleaseWhileSettledAsOld: mail that is released while it is settled as too old is not
// attempted before that is recorded; it is tried then, if it is there still.
func TestReleaseWhileSettledAsOld(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		r := w.net.at("a.test")
		r.refuse = down
		id := w.submit(envelopeOf("s@x.test", "1@a.test"))
		w.after(time.Second)
		m, err := w.queue.Load(id)
		if err != nil || m == nil {
			t.Fatal(m, err)
		}
		w.operate("hold", only(id))
		w.sched.busy([]*queue.Stored{m}, true) // the scan has read it before
		r.set(func(r *remote) { r.refuse = nil })
		w.operate("release", only(id))
		w.sched.Flush()
		w.after(30 * time.Second)
		if got := r.received(); len(got) != 0 {
			t.Errorf("delivered while it may be reported expired: %+v", got)
		}
		w.sched.aged()
		w.after(30 * time.Second)
		if got := r.received(); len(got) != 1 {
			t.Errorf("delivered %d times after that", len(got))
		}
	})
}

// A warning that a message is late does not move what an operator made due meanwhile.
func TestFlushWhileWarning(t *testing.T) {
	inWorld(t, func(w *world) {
		w.o.Retry.Schedule, w.o.Retry.DelayWarning = []time.Duration{time.Hour}, 5*time.Minute
	}, func(w *world) {
		r := w.net.at("a.test")
		r.answer = always(reply(450, "4.2.1", "not now"))
		w.after(time.Second)
		id := w.submit(envelopeOf("s@x.test", "1@a.test"))
		w.after(6*time.Minute - time.Second - 100*time.Millisecond)
		r.set(func(r *remote) { r.answer = nil })
		w.group.Fault = func([]byte) queuetest.Fault {
			time.Sleep(300 * time.Millisecond)
			return queuetest.None
		}
		if n := w.operate("flush", only(id)); n != 1 {
			t.Errorf("flush moved %d recipients", n)
		}
		w.after(time.Minute)
		if got := r.received(); len(got) != 1 {
			t.Errorf("delivered %d times after the flush", len(got))
		}
		w.reported("s@x.test", "delayed")
	})
}

// TestHeldMailDoesNotExpire: held mail waits beyond its time, silently. Once it is released it is
// attempted, for an hour at most.
func TestHeldMailDoesNotExpire(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.at("dead.test").refuse = down
		for _, d := range []string{"a.test", "dead.test"} {
			held := w.submit(envelopeOf("s@x.test", "1@"+d))
			w.operate("hold", only(held))
			w.after(30 * 24 * time.Hour)
			if n := len(w.log.of(maillog.Expiration)) + len(w.log.of(maillog.Delayed)); n != 0 {
				t.Fatalf("%s: %d expirations and reports while it is held", d, n)
			}
			w.operate("release", only(held))
			w.after(2 * time.Hour)
		}
		w.arrived("a.test", 1)
		if n := len(w.log.of(maillog.Expiration)); n != 1 {
			t.Errorf("%d recipients expired after the release, want that of dead.test", n)
		}
	})
}
