package delivery

import (
	"time"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/timers"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// destination is the scheduling state for one next hop: one recipient domain by one route. What is
// due for it lies on disk, in the order of (due time, ID); its window is the part of that in
// memory. Owned by the core.
//
// Invariant: each row of the domain and route up to the cursor is in memory or settled, unless
// backlog or a timer says when to look again, or passed says that a suspension's end does.
type destination struct {
	key   destKey // never changes
	via   *route  // nil: MX; never changes
	gone  bool    // its route is gone: what is under way goes on, nothing else begins
	state destState
	site  *site // destAttached: where it hangs; else where it last did, nil: nowhere
	place int   // in core.all
	spot  int   // in site.dests

	flows   map[flowKey]*flow
	recent  *flow     // of the latest item
	waiting int       // entries in flows
	busy    entryList // entries being attempted or recorded
	graves  []held    // settled while a load was under way, which may have read their rows before

	cursor     row       // the next load begins after it
	seen       row       // the greatest row that a load has read
	backlog    bool      // there may be rows due after the cursor
	nextDue    time.Time // of the first row that was not due yet; zero: none known
	ahead      bool      // the latest load left rows behind it that are due
	lookahead  lookahead
	loading    bool              // a load is under way
	queued     bool              // in core.loads
	stale      bool              // what the load under way reads is out of date
	suspension *queue.Suspension // of its domain; nil: none
	// rows were passed over because their tenant or campaign is suspended
	passed bool
	// rows of the domain that go other routes were passed and nobody looks after them
	others bool
	// while a load was under way, rows after back were left to the disk
	rewound  bool
	back     row
	cost     int64        // of an entry, on the average of the latest load
	timer    timers.Timer // destWaiting: look up again; destAttached: nextDue
	used     bool         // since the clock hand last passed
	afresh   bool         // the look-up under way asks whom nobody is to ask any more
	route    *mx.Route    // the hosts last found
	valid    time.Time    // until when
	until    time.Time    // destWaiting: when to look up again
	failures int          // look-ups that failed in a row
	told     told         // of look-ups that failed
	reason   mail.Attempt // why nothing can be attempted, from the look-up
	refusal  *smtp.Failure
}

type destKey struct {
	domain string
	route  int // number of the route; noRoute: MX
}

type destState uint8

const (
	destNew       destState = iota // its hosts are not known
	destResolving                  // a look-up is under way or queued
	destAttached                   // its hosts are known: it hangs at a site
	// the look-up failed for now; until says how long nothing is tried
	destWaiting
	destRefused // the look-up failed for good: all that is due fails
)

// held is what the destination has in memory.
func (d *destination) held() int { return d.waiting + d.busy.n }

// flow returns the flow of an item, making it when there is none.
func (d *destination) flow(o *mail.Origin) *flow {
	if f := d.recent; f != nil && f.tenant == o.Tenant && f.campaign == o.Campaign {
		return f
	}
	k := flowKey{o.Tenant, o.Campaign}
	f := d.flows[k]
	if f == nil {
		if d.flows == nil {
			d.flows = map[flowKey]*flow{}
		}
		if len(d.flows) >= maxFlows {
			d.forgetFlows()
		}
		if len(d.flows) >= maxFlows {
			// too many: the rest share the flow without a name
			if k = (flowKey{}); d.flows[k] != nil {
				return d.flows[k]
			}
		}
		f = &flow{dest: d, tenant: k.tenant, campaign: k.campaign}
		d.flows[k] = f
	}
	d.recent = f
	return f
}

// maxFlows bounds the flows of a destination in memory.
const maxFlows = 1024

// forgetFlows drops the flows that have nothing in memory and nothing on disk.
func (d *destination) forgetFlows() {
	for k, f := range d.flows {
		if f.list.n == 0 && !f.onDisk {
			delete(d.flows, k)
		}
	}
	d.recent = nil
}

// rewind makes a load begin at k at the latest.
func (d *destination) rewind(k row) {
	p := k.previous()
	d.backlog = true
	if p.before(d.cursor) {
		d.cursor = p
	}
	if d.loading && (!d.rewound || p.before(d.back)) {
		d.back, d.rewound = p, true // the load under way may have passed it already
	}
}

// reread has the rows of an entry's recipients looked for again.
func (d *destination) reread(e *entry) {
	if e.moved {
		d.rewind(row{}) // they may be anywhere
		return
	}
	d.rewind(e.row())
}

// add puts a new entry into its flow.
func (c *core) add(e *entry, front bool) {
	f, d := e.flow, e.dest
	if d.held() == 0 {
		c.active++
	}
	e.state = entryWaiting
	if front {
		f.list.pushFront(e)
	} else {
		f.list.pushBack(e)
	}
	d.waiting++
	c.held++
	if d.state == destAttached {
		d.site.waiting++
		d.site.enqueue(f)
		c.rouse(d.site)
	}
}

// unqueue takes an entry out of its flow.
func (c *core) unqueue(e *entry) {
	d := e.dest
	e.flow.list.remove(e)
	d.waiting--
	if d.state == destAttached {
		d.site.waiting--
	}
}

// leave ends an entry's time in memory when it is in no list any more.
func (c *core) leave(e *entry) {
	d := e.dest
	c.forget(e)
	if d.loading {
		d.graves = append(d.graves, held{row: e.row(), recipients: e.item.Recipients})
	}
	if e.moved {
		d.reread(e)
	}
	if e.stray {
		c.arrived(e)
	}
	c.wantMore(d)
}

// forget counts an entry that is in no list any more out of memory.
func (c *core) forget(e *entry) {
	e.state = entryGone
	e.release()
	c.o.Budget.Release(e.cost)
	c.short = false
	c.held--
	if e.dest.held() == 0 {
		c.active--
	}
}

// drop leaves a waiting entry to the disk.
func (c *core) drop(e *entry) {
	if e.taken > 0 {
		return // partly attempted: it stays until it is settled
	}
	c.unqueue(e)
	e.flow.onDisk = true
	e.dest.reread(e)
	c.forget(e)
}

// cut leaves to the disk what was not handed out of a waiting entry yet.
func (c *core) cut(e *entry) {
	if e.taken == 0 {
		c.drop(e)
		return
	}
	c.unqueue(e)
	e.item.Recipients = e.item.Recipients[:e.taken]
	e.dest.reread(e)
	c.busied(e)
}

// busied puts an entry of which nothing waits any more into the busy list, or ends it.
func (c *core) busied(e *entry) {
	if e.open == 0 {
		c.leave(e)
		return
	}
	e.state = entryBusy
	e.dest.busy.pushBack(e)
}

// dropAll leaves all that waits for d to the disk: its site is dead and memory is for the living.
func (c *core) dropAll(d *destination) {
	for _, f := range d.flows {
		for e := f.list.head; e != nil; {
			next := e.next
			c.cut(e)
			e = next
		}
	}
}

// trim drops the youngest entries until d has at most n waiting, from the longest flow first, and
// reports whether it dropped any.
func (c *core) trim(d *destination, n int) (dropped bool) {
	for d.waiting > n {
		var longest *flow
		for _, f := range d.flows {
			if longest == nil || f.list.n > longest.list.n {
				longest = f
			}
		}
		keep := max(longest.list.n-(d.waiting-n), longest.list.n/2)
		for e := longest.list.tail; e != nil && longest.list.n > keep; {
			prev := e.prev
			c.drop(e)
			e = prev
		}
		if longest.list.n > keep {
			return dropped
		}
		dropped = true
	}
	return dropped
}
