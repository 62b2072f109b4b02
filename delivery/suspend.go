package delivery

import (
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// Suspensions. What is suspended has nothing waiting in memory: it is left to the disk when the
// suspension begins and not taken from there while it lasts. So no other mail finds the window full
// of it, and no message needs a look at the list when it is handed out. A destination and a site
// have a mark. Tenants and campaigns share a destination's schedule with others: loads pass over
// them, and when such a suspension ends, the destinations where that happened are read again from
// their beginning, as far as their windows go.

// suspensions are the suspensions in force. Owned by the core.
type suspensions struct {
	list  queue.Suspensions // all that were given, those that are over included
	kinds [queue.SuspendCampaign + 1]map[string]*queue.Suspension
	n     int
	flows bool // tenants or campaigns are among them
}

// suspend takes the list of what is suspended from now on.
func (c *core) suspend(list queue.Suspensions, now time.Time) {
	if list.Version >= c.suspensions.list.Version { // else it was overtaken
		c.suspensions.list = list
		c.rebar(now)
	}
}

// rebar puts into force what of the list is not over.
func (c *core) rebar(now time.Time) {
	was := c.suspensions
	c.suspensions = newSuspensions(was.list, now)
	c.timers.Stop(&c.barring)
	for _, s := range was.list.All {
		if s.Until.After(now) {
			c.timers.SetEarlier(&c.barring, s.Until)
		}
	}
	for _, s := range c.sites {
		if s.suspension = c.siteSuspension(s); s.suspension != nil {
			for _, d := range s.dests {
				c.dropAll(d)
			}
		}
	}
	for _, d := range c.all {
		d.suspension = c.suspensions.kinds[queue.SuspendDomain][d.key.domain]
		if d.suspension != nil {
			c.dropAll(d)
		}
		c.wantMore(d)
	}
	if c.suspensions.flows {
		c.eachWaiting(func(e *entry) {
			if c.flowSuspended(&e.item) {
				c.cut(e)
				c.wantMore(e.dest)
			}
		})
	}
	if was.endsFlows(&c.suspensions) {
		for _, d := range c.all {
			c.readAgain(d)
		}
	}
}

func newSuspensions(list queue.Suspensions, now time.Time) suspensions {
	b := suspensions{list: list}
	for i := range list.All {
		s := &list.All[i]
		if !s.Until.IsZero() && !s.Until.After(now) {
			continue
		}
		if b.kinds[s.Kind] == nil {
			b.kinds[s.Kind] = map[string]*queue.Suspension{}
		}
		b.kinds[s.Kind][s.Name] = s
		b.flows = b.flows || s.Kind == queue.SuspendTenant || s.Kind == queue.SuspendCampaign
		b.n++
	}
	return b
}

// endsFlows reports whether a tenant or a campaign is not suspended any more.
func (b *suspensions) endsFlows(now *suspensions) bool {
	for _, kind := range []queue.SuspensionKind{queue.SuspendTenant, queue.SuspendCampaign} {
		for name := range b.kinds[kind] {
			if now.kinds[kind][name] == nil {
				return true
			}
		}
	}
	return false
}

// siteSuspension finds the suspension of a site: by its name, or by a suffix of all its hosts'
// names.
func (c *core) siteSuspension(s *site) *queue.Suspension {
	sites := c.suspensions.kinds[queue.SuspendSite]
	if len(sites) == 0 {
		return nil
	}
	if b := sites[s.name]; b != nil {
		return b
	}
	for name, b := range sites {
		if s.hosts != nil && underSuffix(s.hosts, name) {
			return b
		}
	}
	return nil
}

// readAgain reads a destination's schedule again when loads have passed over rows of it.
func (c *core) readAgain(d *destination) {
	if !d.passed {
		return
	}
	d.passed = false
	d.rewind(row{})
	for _, f := range d.flows {
		f.onDisk = true // what comes new waits behind what lies there
	}
	c.wantMore(d)
}

// flowSuspended reports whether an item's tenant or campaign is suspended.
func (c *core) flowSuspended(it *queue.Item) bool {
	return c.suspensions.flows && c.suspensions.flow(&it.Message.Envelope.Origin) != nil
}

func (b *suspensions) flow(o *mail.Origin) *queue.Suspension {
	if s := b.kinds[queue.SuspendTenant][o.Tenant]; s != nil {
		return s
	}
	return b.kinds[queue.SuspendCampaign][o.Campaign]
}

// suspended reports whether the destination, or the site that it hangs at, is.
func (d *destination) suspended() bool {
	return d.suspension != nil || d.state == destAttached && d.site.suspension != nil
}

// suspension finds what keeps mail of this domain and origin back, or nil.
func (c *core) suspension(domain string, o *mail.Origin) *queue.Suspension {
	if c.suspensions.n == 0 {
		return nil
	}
	if s := c.suspensions.kinds[queue.SuspendDomain][domain]; s != nil {
		return s
	}
	if s := c.suspensions.flow(o); s != nil {
		return s
	}
	for d := range c.of(domain) {
		if d.state == destAttached && d.site.suspension != nil {
			return d.site.suspension
		}
	}
	return nil
}

// Suspended takes the list of what is suspended from now on (queue.Listener): when it returns, no
// attempt at that is begun any more.
func (s *Scheduler) Suspended(list queue.Suspensions) {
	now := s.lock()
	s.mu.core.suspend(list, now)
	s.unlock(now)
}

// Suspension says which suspension keeps mail of this domain and origin back, and ok is false when
// none does.
func (s *Scheduler) Suspension(domain string, o *mail.Origin) (why queue.Suspension, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.mu.core.suspension(domain, o); found != nil {
		return *found, true
	}
	return why, false
}
