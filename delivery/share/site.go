package share

import "time"

// Site is a holder's part in the limits of one site. It says yes or no to each connection, so that
// no mistake of its user goes beyond the share. Safe for use by several goroutines.
type Site struct {
	// Tag is the user's own.
	Tag any

	h    *Holder
	name string

	// The rest is guarded by h.mu.
	limit      Limit
	asked      Limit // in the latest request
	open       int   // connections
	want       int   // connections, the open ones included, when last surveyed or refused
	waiting    int   // transactions that wait, when last surveyed
	taken      int   // transactions since the latest request
	reserve    int
	ownRate    float64
	held       int     // granted beyond the reserve, until h.until
	heldRate   float64 // granted beyond ownRate, until h.until
	wantRate   float64 // in the latest request
	bucket     bucket
	denied     bool // the latest answer gave less than was wanted: asking at once would be in vain
	active     bool // in h.active
	registered bool
}

// Open takes a connection for a user who would like to have want in all, or refuses. Each one taken
// is given back by Closed.
func (s *Site) Open(want int) bool {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.o.Now()
	if s.open < s.allowed(now) {
		s.open++
		if s.open > s.reserve {
			h.activate(s)
		}
		return true
	}
	s.want = max(s.want, min(want, s.limit.Connections))
	h.hungry(s, now)
	return false
}

// Closed gives a connection back, after it is closed.
func (s *Site) Closed() {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.o.Now()
	if s.open > s.allowed(now) {
		h.askBy(now) // another holder waits for it
	}
	s.open--
	if s.open == 0 && !s.registered {
		delete(h.sites, s.name)
	}
}

// Allowed is how many connections may be open now. More may be open when it has become less: they
// are to be closed as soon as their transactions have ended.
func (s *Site) Allowed() int {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return s.allowed(s.h.o.Now())
}

func (s *Site) allowed(now time.Time) int {
	n := s.reserve
	if now.Before(s.h.until) {
		n += s.held
	}
	return min(n, s.limit.Connections)
}

// Adopt counts a connection that was opened before the limit held for it, too. It may be beyond the
// share. Closed gives it back.
func (s *Site) Adopt() {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	s.open++
	if s.open > s.reserve {
		h.activate(s)
		h.askBy(h.o.Now())
	}
}

// Wait is how long the next transaction has to wait for the rate; 0: it may start now.
func (s *Site) Wait() time.Duration {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.limit.Rate == 0 {
		return 0
	}
	now := h.o.Now()
	s.endRate(now)
	d := s.bucket.wait(now)
	if d > askGap/2 && s.bucket.rate < s.limit.Rate {
		s.waiting = max(s.waiting, 1)
		h.hungry(s, now)
	}
	return d
}

// Take counts a transaction that starts now.
func (s *Site) Take() {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if s.limit.Rate == 0 {
		return
	}
	now := s.h.o.Now()
	s.endRate(now)
	s.bucket.take(now)
	s.taken++
}

// Want says, in User.Survey, how many connections the user could use in all and how many
// transactions wait.
func (s *Site) Want(connections, waiting int) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	s.want, s.waiting = min(max(connections, s.open), s.limit.Connections), waiting
}

// Leave ends the use of the site. Connections that are open are still to be closed.
func (s *Site) Leave() {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	s.registered, s.want, s.waiting = false, 0, 0
	if s.open == 0 {
		delete(h.sites, s.name)
	}
}

// endRate ends a rate share whose lease has ended, as of then.
func (s *Site) endRate(now time.Time) {
	if s.heldRate > 0 && !now.Before(s.h.until) {
		s.heldRate = 0
		s.bucket.set(s.ownRate, s.h.until)
	}
}

// setRate gives the site another share of the rate.
func (s *Site) setRate(rate float64, now time.Time) {
	s.heldRate = rate
	s.bucket.set(s.ownRate+rate, now)
}

// setLimit puts another limit in force. When it is lower the holder keeps the same part of it that
// it had: so all holders together are within the limit as soon as all have heard of it, and the
// next answer says what is fair.
func (s *Site) setLimit(to Limit, now time.Time) {
	was := s.limit
	if s.limit = to; was == to {
		return
	}
	s.endRate(now)
	held := Share{Connections: s.held, Rate: s.heldRate}.under(was, to)
	s.held = held.Connections
	s.setRate(held.Rate, now)
	s.h.activate(s)
	s.h.askBy(now)
}

// under is what is left of a share of one limit when there is another: as large a part of it.
func (g Share) under(was, to Limit) Share {
	if to.Connections < was.Connections {
		g.Connections = g.Connections * to.Connections / was.Connections
	}
	if to.Rate < was.Rate {
		g.Rate *= to.Rate / was.Rate
	}
	return g
}

// setReserve tells the site its reserved part.
func (s *Site) setReserve(connections int, rate float64, now time.Time) {
	s.reserve, s.ownRate = connections, rate
	s.endRate(now)
	s.bucket.set(rate+s.heldRate, now)
}
