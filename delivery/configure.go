package delivery

import (
	"fmt"
	"slices"
	"time"

	"github.com/postroad/postroad/internal/glob"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// Other settings while mail flows. The core has the settings in force, and hands them to what it
// begins: a connection has those by which it was opened, a transaction those of its beginning. So
// nothing that is under way sees two of them, and nobody asks for them per message.

// Configure puts other settings in force. When it returns, all that begins goes by them: waiting
// messages are routed anew, sites have their new limits, and the next attempt that fails is put off
// by the new schedule. What is under way ends as it began. After an error nothing has changed.
func (s *Scheduler) Configure(to Settings) error {
	next, err := to.compile()
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	next.way = newWay(s.ctx)
	now := s.lock()
	s.mu.core.configure(next, now)
	s.unlock(now)
	return nil
}

// ForgetHosts has all hosts looked up again, for the resolver asks others now or judges their
// answers by another measure. Connections to the hosts that were known are not used any more.
func (s *Scheduler) ForgetHosts() {
	way := newWay(s.ctx)
	now := s.lock()
	s.mu.core.forgetHosts(way, now)
	s.unlock(now)
}

// retry returns the schedule in force, which does not change.
func (s *Scheduler) retry() *Retry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &s.mu.core.set.Retry
}

func (c *core) configure(next *settings, now time.Time) {
	was := c.set
	c.number(next, was)
	redial := was.Port != next.Port || was.Hello != next.Hello ||
		!slices.Equal(was.Sources, next.Sources)
	if !redial {
		next.way.end()
		next.way = was.way
	}
	c.set = next
	if !slices.EqualFunc(was.routes, next.routes, func(a, b route) bool { return a.id == b.id }) {
		c.reroute(now)
	}
	if !was.shapes.Equal(next.shapes) {
		c.reshape(now)
	}
	if redial {
		c.redial(was.way, now)
	}
	if was.Retry.Expire < next.Retry.Expire { // loads have passed over what was too old
		for _, d := range c.all {
			d.rewind(row{})
			c.wantMore(d)
		}
	}
	for excess := len(c.conns) - next.Connections; excess > 0 && c.idlers.head != nil; excess-- {
		c.dismiss(c.idlers.head)
	}
	c.feedStarved()
}

// number gives each route the number of the one before that does the same, or a new one.
func (c *core) number(next, was *settings) {
	old := map[string]int{}
	for i := len(was.routes) - 1; i >= 0; i-- {
		old[was.routes[i].identity] = was.routes[i].id
	}
	for i := range next.routes {
		r := &next.routes[i]
		n, ok := old[r.identity]
		if !ok {
			n = c.rerouted.numbers
			c.rerouted.numbers++
		}
		delete(old, r.identity)
		r.id = n
	}
}

// rerouted is what a change of the routes leaves behind for a while. Owned by the core.
type rerouted struct {
	numbers int // of routes that were given out
	// Mail that is attempted by a route that is not its recipients' any more, by number of entries.
	// Its rows belong to other destinations, which know nothing of the attempt: until it has ended
	// they pass over them, and then the domain is read again.
	strays map[strayKey]int
	gone   []*destination // of routes that are gone, and not at rest yet
}

type strayKey struct {
	id     mail.ID
	domain string
}

// reroute goes by other routes. What waits and goes another way now is left to the disk, where its
// new destination finds it.
func (c *core) reroute(now time.Time) {
	for _, d := range c.loading {
		d.stale = true
	}
	c.eachWaiting(func(e *entry) {
		if !c.onItsWay(e) {
			c.cut(e)
		}
	})
	c.eachBusy(func(e *entry) {
		if !c.onItsWay(e) {
			c.strays(e)
		}
	})
	c.bury()
	c.last = nil
	for _, d := range slices.Clone(c.all) {
		switch {
		case d.gone, c.dests[d.key] != d: // evicted for one that spread made
		case d.key.route != noRoute && c.routeAt(d.key.route) == nil:
			c.detach(d)
			c.timers.Stop(&d.timer)
			d.gone = true
			c.rerouted.gone = append(c.rerouted.gone, d)
			c.spread(d.key.domain, now)
		default:
			d.rewind(row{}) // others' rows may be its own now
			c.wantMore(d)
			if d.state == destWaiting || d.doubtful() {
				c.spread(d.key.domain, now)
			}
		}
	}
}

// spread makes destinations of all routes that a domain's mail may go, for nobody reads its rows
// who could find out which they are.
func (c *core) spread(domain string, now time.Time) {
	c.destination(destKey{domain, noRoute}, now)
	for i := range c.set.routes {
		if r := &c.set.routes[i]; glob.Match(r.Domain, domain) {
			c.destination(destKey{domain, r.id}, now)
		}
	}
}

// onItsWay reports whether an entry's recipients still go the way of its destination.
func (c *core) onItsWay(e *entry) bool {
	to := e.item.Recipients
	if !c.set.byRecipient {
		to = to[:min(1, len(to))]
	}
	for _, n := range to {
		if c.routeOf(e.dest.key.domain, e.item.Message.Envelope, n) != e.dest.key.route {
			return false
		}
	}
	return true
}

// strays notes that an entry is attempted by another route than its recipients'.
func (c *core) strays(e *entry) {
	e.moved = true
	if !e.stray {
		e.stray = true
		c.rerouted.strays[strayKey{e.item.Message.ID, e.dest.key.domain}]++
	}
}

// astray reports whether recipients of an item are attempted by another route than theirs.
func (c *core) astray(it *queue.Item) bool {
	if len(c.rerouted.strays) == 0 {
		return false
	}
	_, ok := c.rerouted.strays[strayKey{it.Message.ID, it.Domain}]
	return ok
}

// arrived ends an entry that strayed: what became of it is on the disk.
func (c *core) arrived(e *entry) {
	k := strayKey{e.item.Message.ID, e.dest.key.domain}
	if c.rerouted.strays[k]--; c.rerouted.strays[k] > 0 {
		return
	}
	delete(c.rerouted.strays, k)
	for _, d := range c.loading {
		if d.key.domain == k.domain {
			d.stale = true // it may have read before that
		}
	}
	for d := range c.of(k.domain) { // if there is none the scan of the schedule makes one
		d.rewind(row{})
		c.wantMore(d)
	}
}

// bury forgets the destinations of routes that are gone as soon as they are at rest.
func (c *core) bury() {
	c.rerouted.gone = slices.DeleteFunc(c.rerouted.gone, func(d *destination) bool {
		if c.dests[d.key] == d { // else it was evicted
			if !d.atRest() {
				return false
			}
			c.remove(d)
		}
		return true
	})
}

// reshape gives all sites their limits. Domains that have limits of their own now, or have none any
// more, go to another site.
func (c *core) reshape(now time.Time) {
	for _, s := range c.sites {
		c.limit(s, now)
	}
	for _, d := range c.all {
		if d.state != destAttached {
			continue
		}
		hosts := d.site.hosts
		if key, _, _ := c.siteKey(d, hosts); key != d.site.key {
			c.detach(d)
			c.attach(d, c.siteOf(d, hosts, now), now)
		}
	}
}

// limit gives a site the limits that are in force for it.
func (c *core) limit(s *site, now time.Time) {
	shape := c.set.shape(s.own, s.hosts)
	if s.takes > 0 {
		shape.RecipientsPerMessage = min(shape.RecipientsPerMessage, s.takes)
	}
	if shape == s.shape {
		return
	}
	s.shape = shape
	s.allow = min(s.allow, shape.Connections)
	c.joinShares(s, now)
	for i := len(s.idle) - 1; i >= 0; i-- {
		if s.idle[i].sent >= shape.MessagesPerConnection {
			c.dismiss(s.idle[i])
		}
	}
	c.closeExcess(s, s.share)
	c.rouse(s)
}

// redial closes the connections that were opened in another way than they would be now: the idle
// ones at once, the others after what they are sending (next). Those that are being opened are
// given up, which says nothing of their sites. What is put off because a site could not be reached
// is tried at once.
func (c *core) redial(was *way, now time.Time) {
	was.end()
	for cn := c.idlers.head; cn != nil; {
		next := cn.next
		if !cn.site.local {
			c.dismiss(cn)
		}
		cn = next
	}
	for _, s := range c.sites {
		s.pause = time.Time{}
		if s.state == siteDead {
			c.timers.Stop(&s.timer)
			c.become(s, siteProbing, now)
		}
		c.rouse(s)
	}
}

func (c *core) forgetHosts(to *way, now time.Time) {
	was, next := c.set.way, *c.set
	next.way = to
	c.set = &next
	for _, d := range c.all {
		d.route, d.valid = nil, time.Time{}
		switch d.state {
		case destResolving:
			d.afresh = true
		case destWaiting, destRefused:
			c.renew(d)
		}
	}
	c.redial(was, now)
}
