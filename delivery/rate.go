package delivery

import "time"

// limiter is a smooth token bucket in the form of GCRA: instead of counting tokens it knows when
// the next transaction would be due if they all came evenly, and lets each start up to slack before
// that. The slack makes up for coarse timers; it is a tenth of a second's worth, so a slow rate (1
// in 3.6 s) has none.
type limiter struct {
	interval time.Duration // between two transactions; 0: no limit
	due      time.Time     // of the next one, if they came evenly
}

const rateSlack = 100 * time.Millisecond

func newLimiter(r Rate) limiter {
	if r.Count <= 0 || r.Per <= 0 {
		return limiter{}
	}
	return limiter{interval: max(1, r.Per/time.Duration(r.Count))}
}

// to returns the limiter of another rate. What was started counts: the next transaction is as far
// from the one before as the new rate says.
func (l limiter) to(r Rate, now time.Time) limiter {
	n := newLimiter(r)
	if n.due = now; l.interval > 0 {
		n.due = l.due.Add(n.interval - l.interval)
	}
	return n
}

// ready returns when the next transaction may start: now or earlier means at once.
func (l *limiter) ready() time.Time {
	if l.interval == 0 {
		return time.Time{}
	}
	return l.due.Add(-max(0, rateSlack-l.interval))
}

// take counts a transaction that starts now.
func (l *limiter) take(now time.Time) {
	if l.interval == 0 {
		return
	}
	if now.After(l.due) {
		l.due = now
	}
	l.due = l.due.Add(l.interval)
}

// ready returns when the site's next transaction may start: now or earlier means at once.
func (s *site) ready(now time.Time) time.Time {
	if s.lease == nil {
		return s.rate.ready()
	}
	if s.shape.Rate.Count <= 0 {
		return time.Time{}
	}
	return now.Add(s.lease.Wait())
}

// take counts a transaction that starts now.
func (s *site) take(now time.Time) {
	if s.lease == nil {
		s.rate.take(now)
	} else if s.shape.Rate.Count > 0 {
		s.lease.Take()
	}
}
