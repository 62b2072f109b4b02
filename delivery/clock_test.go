package delivery

import (
	"testing"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
)

// The wall clock is an hour or a day behind when the node starts again: command time goes on from
// where it was, mail expires neither early nor twice, and nothing is delivered twice.
func TestWallClockGoesBack(t *testing.T) {
	for _, back := range []time.Duration{time.Hour, 24 * time.Hour} {
		inWorld(t, nil, func(w *world) {
			a, b := w.net.at("a.test"), w.net.at("b.test")
			a.answer = always(reply(450, "4.2.1", "busy"))
			b.answer = always(reply(450, "4.2.1", "busy"))
			begin := time.Now()
			env := envelopeOf("s@x.test", "1@a.test", "2@b.test")
			env.Recipients[1].Notify = mail.NotifyFailure // it may be late
			w.submit(env)
			w.after(3 * time.Hour)
			w.halt()
			w.shift = -back
			w.boot()
			b.set(func(r *remote) { r.answer = nil })
			w.after(6 * 24 * time.Hour)
			if n := len(b.received()); n != 1 {
				t.Errorf("%v back: delivered %d times", back, n)
			}
			w.reported("s@x.test", "delayed", "failed")
			times := a.transactions()
			if lived := times[len(times)-1].Sub(begin); lived < 4*24*time.Hour+18*time.Hour ||
				lived > 5*24*time.Hour {
				t.Errorf("%v back: the last attempt came after %v", back, lived)
			}
			if n := len(w.log.of(maillog.Expiration)); n != 1 {
				t.Errorf("%v back: %d expirations", back, n)
			}
		})
	}
}

// The wall clock jumps while the node runs. Only the resolver goes by it: answers seem to be old at
// once, or to last.
func TestWallClockJumps(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, time.Hour, 1000 * time.Hour} {
		inWorld(t, func(w *world) { w.net.skew = skew }, func(w *world) {
			for range 60 {
				w.flood(10, "t", "", "a.test")
				w.after(time.Minute)
			}
			if n := len(w.net.at("a.test").received()); n != 600 {
				t.Errorf("%v off: %d messages arrived, want 600", skew, n)
			}
			if n := w.net.lookups; n < 1 || n > 200 {
				t.Errorf("%v off: %d look-ups in an hour", skew, n)
			}
		})
	}
}
