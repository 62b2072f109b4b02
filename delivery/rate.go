package delivery

import "time"

// ready returns when the site's next transaction may start: now or earlier means at once.
func (s *site) ready(now time.Time) time.Time {
	if s.lease == nil {
		return s.rate.Ready()
	}
	if s.shape.Rate.Count <= 0 {
		return time.Time{}
	}
	return now.Add(s.lease.Wait())
}

// take counts a transaction that starts now.
func (s *site) take(now time.Time) {
	if s.lease == nil {
		s.rate.Take(now)
	} else if s.shape.Rate.Count > 0 {
		s.lease.Take()
	}
}
