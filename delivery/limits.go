package delivery

import (
	"fmt"
	"time"
)

// Limits that hold mail back say so: to operators who ask (Scheduler.Waits), in the figures, and in
// a line of the log, at most once a minute for a site. What holds a site is not remembered: it
// follows from the site's state whenever it is asked for.

// Limit is what holds mail back that could be tried else: a closed list.
type Limit uint8

// The limits.
const (
	LimitRate        Limit = iota // the site's rate
	LimitConnections              // the site's connections, or our part of them
	LimitSlowStart                // a site gets more connections when some have got through
	LimitBackoff                  // it did not behave, and gets fewer for a while
	LimitNode                     // the node's connections
	LimitUnsettled                // outcomes wait to be recorded
	Limits
)

var limitNames = [Limits]string{"rate", "connections", "slow_start", "backoff", "node_connections",
	"unsettled_outcomes"}

// String is the limit's name in the metrics.
func (l Limit) String() string { return limitNames[l] }

// holds returns which limit holds back what waits at s; ok is false when nothing does.
func (c *core) holds(s *site, now time.Time) (l Limit, ok bool) {
	switch {
	case c.jammed || c.unsettled >= c.o.Unsettled:
		return LimitUnsettled, true
	case s.ready(now).After(now):
		return LimitRate, true
	case len(s.idle) > 0:
		return 0, false
	case s.pause.After(now):
		return LimitBackoff, true
	case s.open >= min(s.shape.Connections, s.share):
		return LimitConnections, true
	case s.open >= s.allow && !s.reason.At.IsZero():
		return LimitBackoff, true
	case s.open >= s.allow:
		return LimitSlowStart, true
	case len(c.conns) >= c.set.Connections:
		return LimitNode, true
	}
	return 0, false
}

const (
	// lateEnough is how long mail waits until the log says what holds it back.
	lateEnough = 10 * time.Second
	// sayAgain is how long after that it is said again of the same site, saidAtOnce of how many
	// sites in that time: the figures have all of them.
	sayAgain   = time.Minute
	saidAtOnce = 60
)

// throttled takes note that a limit lets nothing more of s begin.
func (c *core) throttled(s *site, now time.Time) {
	l, ok := c.holds(s, now)
	f := s.peek()
	if !ok || f == nil {
		return
	}
	c.counters.Throttled[l]++
	s.stats.Throttled++
	late := now.Sub(f.list.head.item.Due)
	switch {
	case now.Before(s.sayAt):
	case late < lateEnough && !s.slow(l):
		s.sayAt = now.Add(lateEnough - max(0, late))
	default:
		s.sayAt = now.Add(sayAgain)
		c.say(s, l, now)
	}
	c.timers.SetEarlier(&s.timer, s.sayAt) // else nothing may happen that asks again
}

// slow reports whether what waits will be late by the rate.
func (s *site) slow(l Limit) bool {
	r := s.shape.Rate
	return l == LimitRate && time.Duration(s.waiting)*r.Per/time.Duration(r.Count) >= lateEnough
}

// say tells the operator.
func (c *core) say(s *site, l Limit, now time.Time) {
	if !now.Before(c.said.until) {
		c.said.until, c.said.sites = now.Add(sayAgain), 0
	}
	if c.said.sites++; c.said.sites <= saidAtOnce {
		c.o.Logf("site %s: %d messages in memory wait: %s", s.name, s.waiting, c.limitText(s, l))
	}
}

// limitText says which limit it is, and where it comes from.
func (c *core) limitText(s *site, l Limit) string {
	switch l {
	case LimitRate:
		return "rate " + s.shape.Rate.String() + " of shaping " + s.shape.RateOf
	case LimitConnections:
		if s.share < s.shape.Connections {
			return fmt.Sprintf("%d of %d connections of shaping %s, our part of the cluster's",
				s.share, s.shape.Connections, s.shape.ConnectionsOf)
		}
		return fmt.Sprintf("%d connections of shaping %s", s.shape.Connections,
			s.shape.ConnectionsOf)
	case LimitSlowStart:
		return fmt.Sprintf("%d connections until some have got through", s.allow)
	case LimitBackoff:
		return "backing off after " + s.reason.Answer()
	case LimitNode:
		return fmt.Sprintf("%d connections of this node", c.set.Connections)
	}
	return "outcomes that are not recorded yet"
}

// waits says what keeps mail of a domain that is due then from being tried; "": nothing.
func (c *core) waits(domain string, due, now time.Time) string {
	for d := range c.of(domain) {
		s := d.site
		switch {
		case d.state == destWaiting:
			return "backing off after " + d.reason.Answer()
		case s != nil && s.state != siteUp:
			return c.limitText(s, LimitBackoff)
		case s == nil || d.state != destAttached || due.After(now):
		case s.waiting > 0:
			if l, ok := c.holds(s, now); ok {
				return c.limitText(s, l)
			}
		}
	}
	return ""
}

// Waits says what keeps mail of a domain that is due at a time from being tried now, such as "rate
// 5/s of shaping example.com"; "": nothing does.
func (s *Scheduler) Waits(domain string, due time.Time) string {
	now := s.lock()
	defer s.mu.Unlock()
	return s.mu.core.waits(domain, due, now)
}
