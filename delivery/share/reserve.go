package share

import "time"

// reserved is each holder's own part of a limit when there are so many queue groups. It is never
// granted to another, so it is there when nobody can be asked. A single group has everything. Of a
// rate it is 5 %, and all reserved parts together are at most a quarter of either.
func (l Limit) reserved(groups int) (connections int, rate float64) {
	if groups <= 1 {
		return l.Connections, l.Rate
	}
	return l.Connections / (4 * groups), l.Rate * min(0.05, 0.25/float64(groups))
}

// census remembers the number of groups for a while. Nodes learn of a change at different times, so
// a holder counts with the greatest number of the last two lease lengths and the grantor with the
// smallest: one of them is careful while the other does not know.
type census struct {
	window time.Duration
	seen   []counted // ascending times, different numbers one after the other
}

type counted struct {
	groups int
	until  time.Time // when the number was last seen
}

// add notes the present number.
func (c *census) add(groups int, now time.Time) {
	groups = max(1, groups)
	for len(c.seen) > 1 && now.Sub(c.seen[0].until) > c.window {
		c.seen = c.seen[1:]
	}
	if n := len(c.seen); n > 0 {
		last := &c.seen[n-1]
		last.until = now // it may have changed only just now
		if last.groups == groups {
			return
		}
		if n >= maxChanges {
			last.groups = groups
			return
		}
	}
	c.seen = append(c.seen, counted{groups, now})
}

// maxChanges bounds what a census remembers.
const maxChanges = 16

// most and least are the bounds of what was seen in the window.
func (c *census) most() (n int) {
	for _, s := range c.seen {
		n = max(n, s.groups)
	}
	return max(1, n)
}

func (c *census) least() int {
	n := c.most()
	for _, s := range c.seen {
		n = min(n, s.groups)
	}
	return n
}
