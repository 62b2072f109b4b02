package shaping

import "time"

// Limiter is a smooth token bucket in the form of GCRA: instead of counting tokens it knows when
// the next transaction would be due if they all came evenly, and lets each start up to slack before
// that. The slack makes up for coarse timers; it is a tenth of a second's worth, so a slow rate (1
// in 3.6 s) has none.
type Limiter struct {
	interval time.Duration // between two transactions; 0: no limit
	due      time.Time     // of the next one, if they came evenly
}

const rateSlack = 100 * time.Millisecond

// NewLimiter returns the limiter of a rate.
func NewLimiter(r Rate) Limiter {
	if r.Count <= 0 || r.Per <= 0 {
		return Limiter{}
	}
	return Limiter{interval: max(1, r.Per/time.Duration(r.Count))}
}

// To returns the Limiter of another rate. What was started counts: the next transaction is as far
// from the one before as the new rate says.
func (l Limiter) To(r Rate, now time.Time) Limiter {
	n := NewLimiter(r)
	if n.due = now; l.interval > 0 {
		n.due = l.due.Add(n.interval - l.interval)
	}
	return n
}

// Ready returns when the next transaction may start: now or earlier means at once.
func (l *Limiter) Ready() time.Time {
	if l.interval == 0 {
		return time.Time{}
	}
	return l.due.Add(-max(0, rateSlack-l.interval))
}

// Take counts a transaction that starts now.
func (l *Limiter) Take(now time.Time) {
	if l.interval == 0 {
		return
	}
	if now.After(l.due) {
		l.due = now
	}
	l.due = l.due.Add(l.interval)
}
