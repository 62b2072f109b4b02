package delivery

import (
	"time"

	"github.com/postroad/postroad/delivery/jitter"
)

// Retry says when a recipient is tried again.
type Retry struct {
	// Schedule holds the waiting times after the first, second ... failed attempt; the last repeats
	// (default 1m 5m 15m 30m 1h 2h 4h). Up to an eighth is added or taken at random, so that what
	// failed together does not return together.
	Schedule []time.Duration
	// Expire is the age at which a recipient is given up (default 5d; RFC 5321 4.5.4.1 asks for at
	// least 4-5 days).
	Expire time.Duration
	// DelayWarning is the age at which the sender is told of a delay; 0 means never.
	DelayWarning time.Duration
}

// next returns when to try again after an attempt that failed now, when there were n before it. It
// returns false when time is up. The last attempt is made just before that.
func (r *Retry) next(u jitter.Draw, n int, arrived, now time.Time) (due time.Time, ok bool) {
	last := arrived.Add(r.Expire - min(2*time.Minute, r.Expire/100))
	if !now.Before(last) {
		return due, false
	}
	wait := r.Schedule[min(n, len(r.Schedule)-1)]
	return earlier(last, now.Add(u.Around(wait))), true
}

// quickly returns how soon to try again what our own store could not take: it is a matter of
// seconds, such as an election. n is how many attempts there were before.
func quickly(u jitter.Draw, n int) time.Duration { return u.Above(time.Second << min(n, 8)) }

// earlier returns the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
