package share

import "time"

// The holder's decisions: when to ask, what to ask for, what an answer means. No I/O, no goroutine;
// the time comes in. All of it runs under h.mu.

// claims is what a holder has and has asked for. Guarded by Holder.mu.
type claims struct {
	sites  map[string]*Site
	active []*Site   // with more than their reserved part, or wanting it
	until  time.Time // the lease of all that is held
	groups census
	count  int  // of groups, as reserved parts are counted now
	ready  bool // the reserved parts may be used: the owner before us has closed its connections
	free   bool // the grantor says so, if the linger is over
	clean  bool // the grantor says so, whether it is or not

	began   time.Time
	reign   uint64
	grantor uint64 // who grants, as our node knows
	seq     uint64
	asking  []*Site // what the request under way names; nil: none is under way
	busy    bool    // a request is under way
	sent    time.Time
	next    time.Time // when to ask; zero: no need
	hello   bool      // to be said: the grantor does not know us
	listed  int       // needs in the latest request that was answered
	failed  int       // requests in a row
	why     error     // the latest of them failed
	lapsed  bool      // the lease ended while something was held
}

func (h *Holder) activate(s *Site) {
	if !s.active {
		s.active = true
		h.active = append(h.active, s)
	}
}

// hungry notes that a site wants more than it has.
func (h *Holder) hungry(s *Site, now time.Time) {
	h.activate(s)
	switch {
	case s.denied:
		h.askBy(now.Add(askAgain))
	case s.open == 0:
		h.askBy(now) // nothing can be done without an answer
	default:
		h.askBy(now.Add(askGap)) // it may pass
	}
}

// askBy has a request sent at a time, or earlier; not too soon after the one before.
func (h *Holder) askBy(at time.Time) {
	if gap := h.sent.Add(askGap << min(h.failed, 4)); at.Before(gap) {
		at = gap
	}
	if h.next.IsZero() || at.Before(h.next) {
		h.next = at
		h.wake()
	}
}

// look takes note of what time and the control state have changed; it returns the sites whose share
// is another one.
func (h *Holder) look(groups int, grantor uint64, now time.Time) (changed []*Site) {
	h.groups.add(groups, now)
	n, age := h.groups.most(), now.Sub(h.began)
	ready := h.ready || n == 1 || h.clean || h.free && age >= h.o.Linger || age >= h.o.Patience
	if n != h.count || ready != h.ready {
		if n != h.count && n > 1 {
			h.hello = true
		}
		h.count, h.ready = n, ready
		for _, s := range h.sites {
			if h.allot(s, now); s.open > s.reserve {
				h.activate(s) // what was in the reserve is to be reported now
			}
			changed = append(changed, s)
		}
	}
	if grantor != h.grantor {
		h.grantor = grantor
		h.hello = h.hello || n > 1
		if grantor != 0 {
			h.failed = 0 // it was another one that did not answer
		}
	}
	if h.hello {
		h.askBy(now)
	}
	if !h.until.IsZero() && !now.Before(h.until) {
		changed = append(changed, h.lapse(now)...)
	}
	return changed
}

// allot tells a site its reserved part.
func (h *Holder) allot(s *Site, now time.Time) {
	connections, rate := s.limit.reserved(h.count)
	if !h.ready {
		connections, rate = 0, 0
	}
	s.setReserve(connections, rate, now)
}

// lapse ends what is held: the lease has ended.
func (h *Holder) lapse(now time.Time) (changed []*Site) {
	for _, s := range h.active {
		s.endRate(now)
		s.held, s.denied = 0, false
	}
	h.until = time.Time{}
	if len(h.active) > 0 && !h.lapsed {
		h.lapsed = true
		h.o.Logf(
			"limits: nobody grants shares (%v): %d sites get the reserved part only until the "+
				"control group has a leader that this node reaches", h.why, len(h.active))
	}
	return append(changed, h.active...)
}

// request makes the next request when it is time; false: not now.
func (h *Holder) request(now time.Time) (Request, bool) {
	if h.busy || h.next.IsZero() || now.Before(h.next) {
		return Request{}, false
	}
	h.next = time.Time{}
	r := Request{Tenure: h.tenure(), Reign: h.reign, Age: now.Sub(h.began), Groups: h.count}
	since := now.Sub(h.sent)
	rest := h.active[:0]
	for _, s := range h.active {
		n, ok := h.need(s, since, now)
		if s.active = ok; ok {
			rest = append(rest, s)
			r.Needs = append(r.Needs, n)
		}
	}
	clear(h.active[len(rest):])
	h.active = rest
	if len(r.Needs) == 0 && h.listed == 0 && !h.hello && !h.waits() {
		return Request{}, false
	}
	h.seq++
	r.Seq = h.seq
	h.busy, h.sent, h.asking = true, now, append([]*Site(nil), rest...)
	return r, true
}

// need is a site's part of a request, and at the same time the promise to open nothing beyond it
// until the answer. false: the site needs nothing beyond its reserved part.
func (h *Holder) need(s *Site, since time.Duration, now time.Time) (Need, bool) {
	s.endRate(now)
	s.asked = s.limit
	n := Need{Site: s.name, Limit: s.limit, Used: max(0, s.open-s.reserve)}
	if len(h.asking) < maxNeeds {
		n.Want = max(n.Used, s.want-s.reserve)
	}
	n.WantRate = s.rateWanted(since)
	s.held = min(s.held, n.Want)
	if s.heldRate > n.WantRate {
		s.setRate(n.WantRate, now)
	}
	n.Held, n.HeldRate = s.held, s.heldRate
	s.wantRate, s.taken = n.WantRate, 0
	return n, n.Want > 0 || n.WantRate > 0
}

// rateWanted is the rate, beyond its own, that a site could use until the next request.
func (s *Site) rateWanted(since time.Duration) float64 {
	if s.limit.Rate == 0 || s.open+s.held+s.reserve == 0 && s.denied {
		return 0 // it has no connection to use it on
	}
	rate := 1.25*float64(s.taken)/max(since,
		askGap).Seconds() + float64(s.waiting)/askAgain.Seconds()
	rate = max(rate-s.ownRate, 0.5*s.wantRate) // not at once: demand flutters
	if rate = min(rate, s.limit.Rate-s.ownRate); rate < 0.05*s.ownRate {
		return 0
	}
	return rate
}

// answered takes the answer to the latest request; it returns the sites whose share is another one.
func (h *Holder) answered(g Grant, now time.Time) (changed []*Site) {
	named := h.asking
	h.busy, h.asking, h.failed = false, nil, 0
	if g.Reign != h.reign { // a new grantor: what we have stays ours; it hears of it now
		h.reign, h.hello = g.Reign, true
		h.sent = time.Time{}
		h.askBy(now)
		return nil
	}
	h.hello, h.listed, h.free, h.clean = false, len(named), !g.Wait, g.Clean
	hurry := now.Sub(h.began) < hurryFor && len(named) <= hurryMost
	switch {
	case h.waits() && hurry:
		h.askBy(h.sent.Add(askGap))
	case h.waits():
		h.askBy(h.sent.Add(waitAgain))
	}
	if h.lapsed {
		h.lapsed = false
		h.o.Logf("limits: shares are granted again")
	}
	h.until = h.sent.Add(g.Lease / 5 * 4)
	shares := make(map[string]*Share, len(g.Shares))
	for i := range g.Shares {
		shares[g.Shares[i].Site] = &g.Shares[i]
	}
	lowered := false
	for _, s := range named {
		var got Share
		if p := shares[s.name]; p != nil {
			got = p.under(s.asked, s.limit) // which may be lower by now
		}
		lowered = lowered || got.Connections < s.held || got.Rate < s.heldRate
		s.denied = got.Connections < s.want-s.reserve || got.Rate < s.wantRate
		if hurry && s.denied && got.Connections == 0 {
			h.askBy(h.sent.Add(askGap))
		}
		s.held = max(0, got.Connections)
		s.setRate(max(0, got.Rate), now)
	}
	if len(named) > 0 {
		h.askBy(h.sent.Add(askAgain))
	}
	if lowered {
		h.askBy(now) // it counts for the others when we say so
	}
	return named
}

// unanswered takes note that the latest request came to nothing.
func (h *Holder) unanswered(why error, now time.Time) {
	h.why = why
	h.busy, h.asking = false, nil
	h.failed++
	if len(h.active) > 0 || h.listed > 0 || h.hello || h.waits() {
		h.askBy(now)
	}
}

// waits reports whether the grantor is to be asked when the reserved parts may be used.
func (h *Holder) waits() bool { return !h.ready && !h.free && !h.clean }
