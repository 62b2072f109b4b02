package delivery

import (
	"time"

	"github.com/postroad/postroad/delivery/timers"
	"github.com/postroad/postroad/queue"
)

// scheduleScan walks the schedule's domains in the background, for those that are not in memory:
// all of them at the start, later those for which the map had no room. It rotates for ever, slowly
// when nothing was missed.
type scheduleScan struct {
	timer   timers.Timer
	after   string
	missed  bool // since the round began some destination found no room
	again   bool // in the round before
	started bool // the first round is over
}

const (
	scanStep     = 1000
	scanHurry    = time.Second // between steps while destinations are missing from the map
	scanInterval = time.Minute // between steps else
)

// scanStep is the scan's timer.
func (c *core) scanStep(now time.Time) {
	c.actions = append(c.actions, action{kind: actScan, from: c.scan.after, max: scanStep})
}

// scanned takes the domains that a step of the scan has read.
func (c *core) scanned(found []queue.DomainDue, err error, now time.Time) {
	sw := &c.scan
	c.bury()
	if err != nil {
		c.o.Logf("scan of the schedule: %v", err)
		c.timers.Set(&sw.timer, now.Add(loadAgain))
		return
	}
	for _, f := range found {
		c.discovered(f, now)
	}
	wait := scanInterval
	if !sw.started {
		wait = 0
	} else if sw.missed || sw.again {
		wait = scanHurry
	}
	if len(found) < scanStep {
		sw.after, sw.started, sw.again, sw.missed = "", true, sw.missed, false
		wait = max(wait, scanHurry)
	} else {
		sw.after = found[len(found)-1].Domain
	}
	c.timers.Set(&sw.timer, now.Add(wait))
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
	if f.Due.After(now.Add(10*scanInterval)) && len(c.all) > c.o.Destinations/2 {
		c.scan.missed = true
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
		if d.atRest() {
			c.remove(d)
			return true
		}
	}
	return false
}

// atRest reports whether nothing of d is in memory or under way.
func (d *destination) atRest() bool {
	return d.held() == 0 && !d.loading && !d.queued && d.state != destResolving
}

// remove takes a destination out of the map. What it has on disk the scan will find.
func (c *core) remove(d *destination) {
	c.detach(d)
	c.unref(d.site)
	c.timers.Stop(&d.timer)
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
