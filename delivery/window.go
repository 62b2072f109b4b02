package delivery

import (
	"time"

	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// Windows: what is due lies on disk; a destination's window is refilled when it has run down to a
// quarter.

// wantMore queues a load of d if it has rows to read and may use them.
func (c *core) wantMore(d *destination) {
	if d.backlog && !d.loading && !d.queued && c.mayLoad(d) {
		d.queued = true
		c.loads.Push(d)
	}
}

func (c *core) mayLoad(d *destination) bool {
	if d.suspended() || d.gone {
		return false
	}
	switch d.state {
	case destWaiting:
		return false
	case destAttached:
		if d.site.state == siteDead || d.site.state == siteProbing && d.site.waiting > 0 {
			return false
		}
	case destNew, destResolving: // it may hang at the same site again
		if d.doubtful() && d.waiting > 0 {
			return false
		}
	}
	return !c.stopping && (d.waiting <= c.window()/4 || d.lookahead.due)
}

// doubtful reports whether the site that d hangs at, or hung at last, is not up or suspended: a few
// entries will do to find out.
func (d *destination) doubtful() bool {
	return d.site != nil && (d.site.state != siteUp || d.site.suspension != nil)
}

// dispatchLoads starts loads while there is room for what they bring.
func (c *core) dispatchLoads(now time.Time) {
	for len(c.loading) < maxLoading && c.loads.Len() > 0 && !c.short {
		if c.held >= c.o.WindowTotal && !c.trimOthers() {
			return
		}
		d, _ := c.loads.Pop()
		d.queued = false
		if !c.mayLoad(d) {
			continue // asked again when that changes
		}
		if d.lookahead.due {
			c.beginLookahead(d, now)
			continue
		}
		n := min(loadAtMost, c.window()-d.held(), max(1, c.o.WindowTotal-c.held), d.affordable())
		if d.doubtful() {
			n = min(n, probeWindow)
		}
		if n <= 0 {
			continue // what is being settled fills the window; leave asks again
		}
		c.beginLoad(d, d.cursor, n, now)
	}
}

func (c *core) beginLoad(d *destination, after row, n int, now time.Time) {
	d.loading, d.stale, d.rewound = true, false, false
	c.loading = append(c.loading, d)
	c.actions = append(c.actions, action{kind: actLoad, dest: d, after: after, until: now, max: n})
}

const (
	// items of a destination's first load, when nobody knows how large they are
	firstLoad   = 64
	loadMemory  = 4 << 20     // octets that a load should not exceed by much
	memoryAgain = time.Second // when to look again for memory
	// entries that are loaded even if the budget is used up by others: something must move
	leastHeld = 8
)

// affordable is how many items a load of d may bring.
func (d *destination) affordable() int {
	if d.cost == 0 {
		return firstLoad
	}
	return max(1, int(loadMemory/d.cost))
}

// itemCost is what an item from disk needs beside its content. Each has an envelope of its own.
func itemCost(it *queue.Item) int64 {
	return entryCost + recipientCost*int64(len(it.Message.Envelope.Recipients))
}

func averageCost(items []queue.Item) (sum int64) {
	for i := range items {
		sum += itemCost(&items[i])
	}
	return sum / int64(max(1, len(items)))
}

// loadResult is what a load read.
type loadResult struct {
	items  []queue.Item
	cursor row
	more   bool // there may be more rows that are due
	// when there are no more: due time of the first row that is not due yet; zero: none
	next time.Time
	err  error
}

// loaded takes in what a load read.
func (c *core) loaded(d *destination, r loadResult, now time.Time) {
	for i, x := range c.loading {
		if x == d {
			c.loading = append(c.loading[:i], c.loading[i+1:]...)
			break
		}
	}
	switch {
	case r.err != nil:
		c.o.Logf("destination %s: reading its schedule: %v", d.key.domain, r.err)
		d.backlog = true
		c.timers.SetEarlier(&d.timer, now.Add(loadAgain)) // the timer asks again
	case !d.stale:
		c.take(d, &r, now)
	}
	d.loading, d.lookahead.out, d.graves = false, false, d.graves[:0]
	if r.err == nil {
		c.wantMore(d)
	}
	if s := d.site; s != nil && s.state == siteProbing && s.waiting == 0 &&
		d.state == destAttached {
		c.probe(s)
	}
}

// loadAgain is when a load that failed is tried again.
const loadAgain = 30 * time.Second

// take puts what a load read into the window, except what is in memory already.
func (c *core) take(d *destination, r *loadResult, now time.Time) {
	if d.lookahead.out {
		d.lookahead.at = r.cursor
	} else {
		d.cursor, d.ahead = r.cursor, r.more
		d.backlog = r.more || d.rewound
	}
	if d.rewound && d.back.before(d.cursor) {
		d.cursor = d.back
	}
	if d.seen.before(r.cursor) {
		d.seen = r.cursor
	}
	c.known.fill(d)
	defer c.known.empty()
	d.cost = averageCost(r.items)
	for i := range r.items {
		it := &r.items[i]
		if !c.ours(d, it, now) {
			continue
		}
		if c.known.strike(d, it); len(it.Recipients) == 0 {
			continue
		}
		if tooOld(it.Message.Arrived, it.Due, now, c.set.Retry.Expire) {
			continue // the scan for expiry has it
		}
		if _, leaves := c.leaving[it.Message.ID]; leaves {
			continue // when it stays its domain is read again
		}
		if c.astray(it) {
			continue // when it has arrived its domain is read again
		}
		if c.expiring.pass(d, it) {
			continue
		}
		if c.flowSuspended(it) {
			d.passed = true
			continue
		}
		if d.lookahead.out && c.plenty(d, it) {
			continue // in its turn
		}
		c.insert(d, it, d.backlog, now)
	}
	if !d.backlog {
		for _, f := range d.flows {
			f.onDisk = false
		}
		if !r.next.IsZero() { // an earlier one may have been written while the load ran
			c.dueLater(d, r.next)
		}
	}
}

// ours reduces an item to the recipients that go d's route and reports whether there are any.
// Others' destinations hear of theirs.
func (c *core) ours(d *destination, it *queue.Item, now time.Time) bool {
	if len(c.set.routes) == 0 {
		return true
	}
	var mine []uint32
	for _, part := range c.split(it) {
		if part.route == d.key.route {
			mine = part.recipients
		} else {
			if c.destination(destKey{d.key.domain, part.route}, now) == nil {
				d.others = true
			}
		}
	}
	it.Recipients = mine
	return len(mine) > 0
}

// insert puts a loaded item into the window, wherever the destination's state allows.
func (c *core) insert(d *destination, it *queue.Item, backlog bool, now time.Time) {
	c.homeward(d, now)
	f := d.flow(&it.Message.Envelope.Origin)
	f.onDisk = f.onDisk || backlog
	e := &entry{item: *it, dest: d, flow: f, cost: itemCost(it)}
	if !c.o.Budget.TryReserve(e.cost) {
		if e.cost = 0; c.held >= leastHeld {
			c.short = true
			c.timers.SetEarlier(&c.memory, now.Add(memoryAgain))
			d.rewind(e.row())
			return
		}
	}
	switch {
	case d.suspended():
		d.rewind(e.row()) // meanwhile
		c.o.Budget.Release(e.cost)
	case d.state == destRefused:
		c.add(e, false)
		c.refuse(e, d.refusal, now)
	case d.state == destWaiting, d.state == destAttached && d.site.state == siteDead:
		d.rewind(e.row()) // it died in the meantime
		c.o.Budget.Release(e.cost)
	default:
		c.add(e, false)
		if d.state == destNew {
			c.resolve(d, now)
		}
	}
}

// dueLater notes that a row of d becomes due at a time to come.
func (c *core) dueLater(d *destination, at time.Time) {
	if d.nextDue.IsZero() || at.Before(d.nextDue) {
		d.nextDue = at
	}
	if d.state != destWaiting {
		c.timers.SetEarlier(&d.timer, at)
	}
}

// refuse hands a waiting entry out to be failed without an attempt, because its domain takes no
// mail.
func (c *core) refuse(e *entry, why *smtp.Failure, now time.Time) {
	t := c.transaction()
	t.message, t.started, t.refusal = e.item.Message, now, why
	t.recipients = append(t.recipients, e.item.Recipients[e.taken:]...)
	t.pieces = append(t.pieces, piece{e: e, to: len(t.recipients), settling: true})
	e.taken = len(e.item.Recipients)
	e.open++
	c.unqueue(e)
	c.busied(e)
	c.unsettled += len(t.recipients)
	c.refusals = append(c.refusals, t)
}
