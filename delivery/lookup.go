package delivery

import (
	"time"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// From a domain to a site: routes, look-ups, and what happens when they fail.

// destinationOf is destination for items, of which neighbours often go the same way.
func (c *core) destinationOf(domain string, route int, now time.Time) *destination {
	k := destKey{domain, route}
	if d := c.last; d != nil && d.key == k {
		return d
	}
	d := c.destination(k, now)
	c.last = d
	return d
}

// destination returns a destination, making it when there is none; nil: no room in the map, the
// scan will find it. Nobody knows what a new one has on disk, so it begins with a load.
func (c *core) destination(k destKey, now time.Time) *destination {
	if d := c.dests[k]; d != nil {
		return d
	}
	if len(c.all) >= c.o.Destinations && !c.evict(now) {
		c.scan.missed = true
		return nil
	}
	d := &destination{key: k, via: c.routeAt(k.route), place: len(c.all), backlog: true, used: true,
		suspension: c.suspensions.kinds[queue.SuspendDomain][k.domain]}
	d.timer.Fire = func(now time.Time) { c.wake(d, now) }
	c.dests[k] = d
	c.all = append(c.all, d)
	c.wantMore(d)
	return d
}

// wake is the destination's timer: a look-up that failed is to be repeated, or rows have become
// due.
func (c *core) wake(d *destination, now time.Time) {
	if (d.state == destWaiting || d.state == destRefused) && !now.Before(d.until) {
		c.renew(d)
		return
	}
	d.backlog = true
	if !d.nextDue.IsZero() {
		// a load under way may have read before the row was written
		d.rewind(row{due: d.nextDue.UnixMilli()})
		d.nextDue = time.Time{}
	}
	if d.state == destRefused {
		c.timers.Set(&d.timer, d.until)
	}
	c.wantMore(d)
}

// renew begins again with a destination whose look-up failed.
func (c *core) renew(d *destination) {
	d.state, d.backlog = destNew, true
	c.wantMore(d)
}

// resolve begins a look-up of d's hosts, or answers it from memory.
func (c *core) resolve(d *destination, now time.Time) {
	if d.state == destResolving {
		return
	}
	c.detach(d)
	d.state = destResolving
	if route, f, ok := c.remembered(d); ok {
		c.resolved(d, route, f, now)
		return
	}
	c.lookups.Push(d)
}

// homeward looks again when a domain has become local, or is no more: what is known of its hosts,
// or that it has none, does not count any more. It is asked about before anything is decided by
// that.
func (c *core) homeward(d *destination, now time.Time) {
	switch {
	case d.state == destAttached && d.site.local != c.isHome(d):
		c.resolve(d, now)
	case (d.state == destWaiting || d.state == destRefused) && c.isHome(d):
		c.renew(d)
	}
}

// isHome reports whether a destination is the mailboxes here.
func (c *core) isHome(d *destination) bool {
	return (d.via == nil || !d.via.named) && c.isLocal(d.key.domain)
}

// remembered answers from memory: mailboxes of our own and sockets need no look-up, other hosts
// none while the last answer holds.
func (c *core) remembered(d *destination) (*mx.Route, *smtp.Failure, bool) {
	r := d.via
	switch {
	case c.isHome(d):
		return home, nil, true
	case r != nil && r.socket != nil:
		return r.socket, nil, true
	}
	return c.cached(r, d.key.domain)
}

func (c *core) dispatchLookups() {
	for c.looking < c.o.Lookups && c.lookups.Len() > 0 && !c.stopping {
		d, _ := c.lookups.Pop()
		if d.afresh = false; d.gone {
			d.state = destNew
			continue
		}
		c.looking++
		c.actions = append(c.actions, action{kind: actLookup, dest: d})
	}
}

// lookedUp is the answer to actLookup.
func (c *core) lookedUp(d *destination, route *mx.Route, f *smtp.Failure, now time.Time) {
	c.looking--
	switch {
	case d.gone:
		d.state = destNew
	case d.afresh:
		d.state = destNew
		c.resolve(d, now)
	default:
		c.resolved(d, route, f, now)
	}
}

// resolved takes a look-up's answer.
func (c *core) resolved(d *destination, route *mx.Route, f *smtp.Failure, now time.Time) {
	switch {
	case f == nil:
		d.failures, d.refusal, d.reason = 0, nil, mail.Attempt{}
		d.route = route
		d.valid = clamp(route.Expires, now.Add(minAnswer), now.Add(maxAnswer))
		c.attach(d, c.siteOf(d, route, now), now)
	case f.Temporary() && d.route != nil && d.route != home &&
		now.Sub(d.route.Expires) < staleAnswer:
		d.valid = now.Add(minAnswer)
		c.attach(d, c.siteOf(d, d.route, now), now) // the old answer is better than none
	case f.Temporary():
		c.postpone(d, f, now)
	default:
		c.refuseAll(d, f, now)
	}
}

const (
	// An answer is used for at least and at most this long, whatever its TTL and however far the
	// wall clock, by which the resolver goes, is from command time, by which we go.
	minAnswer, maxAnswer = 15 * time.Second, time.Hour
	// staleAnswer is how long hosts are used beyond their time when the DNS does not answer.
	staleAnswer = 6 * time.Hour
)

func clamp(t, from, to time.Time) time.Time {
	switch {
	case t.Before(from):
		return from
	case t.After(to):
		return to
	}
	return t
}

// postpone leaves all of d to the disk until its hosts may be known.
func (c *core) postpone(d *destination, f *smtp.Failure, now time.Time) {
	d.state = destWaiting
	d.until = now.Add(c.backoff(d.failures))
	d.failures++
	d.reason = finding(f, now)
	c.tellOf(d, d.told, d.reason, d.until, now)
	d.told = d.told.all(now)
	c.dropAll(d)
	d.backlog = true
	c.timers.Set(&d.timer, d.until)
}

// refuseAll fails what is due for d: its domain takes no mail. What comes later is looked at again.
func (c *core) refuseAll(d *destination, f *smtp.Failure, now time.Time) {
	d.state = destRefused
	d.until = now.Add(refusalLasts)
	d.refusal = f
	d.reason = finding(f, now)
	for _, fl := range d.flows {
		for fl.list.head != nil {
			c.refuse(fl.list.head, f, now)
		}
	}
	c.timers.Set(&d.timer, d.until)
	c.wantMore(d)
}

// finding is what an attempt came to in which nobody else said anything.
func finding(f *smtp.Failure, now time.Time) mail.Attempt {
	return mail.Attempt{At: now, Enhanced: f.Enhanced, Text: f.Text}
}

// refusalLasts is how long a domain that takes no mail is not looked up again; the resolver's cache
// knows better.
const refusalLasts = time.Minute

// attach hangs d at its site.
func (c *core) attach(d *destination, s *site, now time.Time) {
	if old := d.site; old != s {
		d.site = s
		s.refs++
		c.unref(old)
	}
	d.state, d.spot = destAttached, len(s.dests)
	s.dests = append(s.dests, d)
	s.waiting += d.waiting
	if !s.reachable() {
		if s.state == siteDead {
			c.tellOf(d, s.told, s.reason, s.until, now)
		}
		c.dropAll(d)
		return
	}
	for _, f := range d.flows {
		if f.list.n > 0 {
			s.enqueue(f)
		}
	}
	c.rouse(s)
	c.wantMore(d)
}

// detach takes d off its site, which it still remembers.
func (c *core) detach(d *destination) {
	if d.state != destAttached {
		return
	}
	s := d.site
	s.waiting -= d.waiting
	for _, f := range d.flows {
		s.dequeue(f)
	}
	last := s.dests[len(s.dests)-1]
	s.dests[d.spot], last.spot = last, d.spot
	s.dests[len(s.dests)-1] = nil
	s.dests = s.dests[:len(s.dests)-1]
	d.state = destNew
	if s.state == siteProbing {
		c.probe(s) // it may have been what the site was probed with
	}
}

// siteOf returns the site of d's hosts, making it when there is none.
func (c *core) siteOf(d *destination, hosts *mx.Route, now time.Time) *site {
	key, name, own := c.siteKey(d, hosts)
	s := c.sites[key]
	if s != nil {
		s.hosts = hosts
		return s
	}
	s = &site{key: key, name: name, own: own, via: d.via, local: hosts == home, hosts: hosts,
		shape: c.set.shape(own, hosts)}
	s.allow = min(initialConnections, s.shape.Connections)
	s.timer.Fire = func(now time.Time) { c.fire(s, now) }
	s.stats = c.counters.site(name)
	c.joinShares(s, now)
	c.sites[key] = s
	s.suspension = c.siteSuspension(s)
	return s
}

// siteKey returns the key and the name of the site of d's hosts. A domain with limits of its own,
// which is returned then, has a site of its own.
func (c *core) siteKey(d *destination, hosts *mx.Route) (key, name, own string) {
	switch {
	case hosts == home:
		key, name = localKey, LocalSite
	case d.via == nil:
		key, name = hosts.Site, hosts.Site
	case d.via.mx:
		key, name = hosts.Site+d.via.key, hosts.Site
	default:
		key, name = d.via.key, d.via.name
	}
	if c.set.shapes.Has(d.key.domain) {
		own = d.key.domain
		key += "\x00" + own
	}
	return key, name, own
}

// unref takes note that a destination does not remember s any more (nil: it remembered none).
func (c *core) unref(s *site) {
	if s != nil {
		s.refs--
		c.tidy(s)
	}
}

// tidy forgets a site that nobody needs: no destination, no connection, and alive, or one too many.
func (c *core) tidy(s *site) {
	if s.refs > 0 || s.open > 0 || s.state != siteUp && len(c.sites) <= c.o.Destinations {
		return
	}
	if s.state == siteDead {
		c.deadSites--
	}
	c.timers.Stop(&s.timer)
	if s.queued {
		c.ready.Remove(s)
	}
	if s.starved {
		c.starved.Remove(s)
	}
	if s.lease != nil {
		s.lease.Leave()
	}
	delete(c.sites, s.key)
}

// why says what keeps a domain's mail, and until when.
func (c *core) why(domain string) (why mail.Attempt, until time.Time, ok bool) {
	for d := range c.of(domain) {
		switch {
		case d.state == destWaiting:
			return d.reason, d.until, true
		case d.site != nil && d.site.state != siteUp:
			return d.site.reason, d.site.until, true
		}
	}
	return why, until, false
}
