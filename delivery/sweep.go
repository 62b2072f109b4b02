package delivery

import (
	"time"

	"github.com/postroad/postroad/queue"
)

// sweep walks the schedule's domains in the background, for those that are not in memory: all of
// them at the start, later those for which the map had no room. It rotates for ever, slowly when
// nothing was missed.
type sweep struct {
	alarm   alarm
	after   string
	missed  bool // since the round began some destination found no room
	again   bool // in the round before
	started bool // the first round is over
}

const (
	sweepStep     = 1000
	sweepHurry    = time.Second // between steps while destinations are missing from the map
	sweepInterval = time.Minute // between steps else
)

// sweepStep is the sweep's alarm.
func (c *core) sweepStep(now time.Time) {
	c.actions = append(c.actions, action{kind: actSweep, from: c.sweep.after, max: sweepStep})
}

// swept takes the domains that a step of the sweep has read.
func (c *core) swept(found []queue.DomainDue, err error, now time.Time) {
	sw := &c.sweep
	if err != nil {
		c.o.Logf("sweep of the schedule: %v", err)
		c.alarms.set(&sw.alarm, now.Add(loadAgain))
		return
	}
	for _, f := range found {
		c.discovered(f, now)
	}
	wait := sweepInterval
	if !sw.started {
		wait = 0
	} else if sw.missed || sw.again {
		wait = sweepHurry
	}
	if len(found) < sweepStep {
		sw.after, sw.started, sw.again, sw.missed = "", true, sw.missed, false
		wait = max(wait, sweepHurry)
	} else {
		sw.after = found[len(found)-1].Domain
	}
	c.alarms.set(&sw.alarm, now.Add(wait))
}

// discovered looks after a domain that has rows.
func (c *core) discovered(f queue.DomainDue, now time.Time) {
	k := destKey{f.Domain, c.routeOfDomain(f.Domain)}
	if d := c.dests[k]; d != nil { // it knows itself what it has
		if d.others {
			d.others = false
			d.rewind(row{})
			c.wantMore(d)
		}
		return
	}
	if f.Due.After(now.Add(10*sweepInterval)) && len(c.all) > c.o.Destinations/2 {
		c.sweep.missed = true
		return // there is time
	}
	if d := c.destination(k, now); d != nil && f.Due.After(now) {
		c.dueLater(d, f.Due)
	}
}

// evict makes room in the map: the clock hand takes a destination that has nothing in memory and
// was not used since it last passed.
func (c *core) evict(now time.Time) bool {
	for range min(64, len(c.all)) {
		c.hand++
		d := c.all[c.hand%len(c.all)]
		if d.used {
			d.used = false
			continue
		}
		if d.held() == 0 && !d.loading && !d.queued && d.state != destResolving {
			c.remove(d)
			return true
		}
	}
	return false
}

// remove takes a destination out of the map. What it has on disk the sweep will find.
func (c *core) remove(d *destination) {
	c.detach(d)
	c.unref(d.site)
	c.alarms.stop(&d.alarm)
	last := c.all[len(c.all)-1]
	c.all[d.place], last.place = last, d.place
	c.all[len(c.all)-1] = nil
	c.all = c.all[:len(c.all)-1]
	delete(c.dests, d.key)
	if c.last == d {
		c.last = nil
	}
	if first := c.dests[destKey{d.key.domain, c.routeOfDomain(d.key.domain)}]; first != nil {
		first.others = true
	}
}
