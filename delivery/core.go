package delivery

import (
	"math/rand/v2"
	"time"

	"github.com/postroad/postroad/delivery/jitter"
	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/timers"
	"github.com/postroad/postroad/internal/fifo"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// core is the scheduler's state and its decisions. It does no I/O, starts no goroutine and reads no
// clock: each event comes in as a call with the time, and what is to be done in the outside world
// comes out as actions. The Scheduler calls it under its mutex, tests call it as they like.
//
// In outline: an item goes into its destination's window if there is room, else it stays on disk
// and is loaded later. A destination whose hosts are known hangs at a site. A site with something
// waiting is in the ready list; dispatch gives its idle connections work or opens new ones, as its
// limits allow. A connection that has finished a transaction asks for the next itself.
type core struct {
	o     *Options  // but its Settings
	set   *settings // in force
	rand  *rand.Rand
	parts []part // scratch of split
	// cached answers a look-up from memory, or says false. It does not block.
	cached func(r *route, domain string) (*mx.Route, *smtp.Failure, bool)

	dests map[destKey]*destination
	all   []*destination // the same, for the clock hand
	hand  int
	last  *destination // of the latest item
	sites map[string]*site

	ready   fifo.Ring[*site]        // sites with something waiting that may have become possible
	starved fifo.Ring[*site]        // sites that want a connection when the node has none left
	lookups fifo.Ring[*destination] // destinations to be looked up
	loads   fifo.Ring[*destination] // destinations to be loaded from disk
	idlers  connList                // idle connections, the longest first

	held, active int                // entries in memory; destinations that have any
	conns        map[*conn]struct{} // those being opened and closed included
	looking      int                // look-ups under way
	loading      []*destination
	unsettled    int // recipients whose outcome the queue has not recorded
	jammed       bool
	shedAgain    time.Time
	short        bool         // the memory budget was exhausted when a load came
	memory       timers.Timer // looks again
	stopping     bool
	deadSites    int

	timers      timers.Heap
	disowned    timers.Timer // asks again whether we are the owner
	scan        scheduleScan
	suspensions suspensions
	expiring    expiring
	barring     timers.Timer // a suspension ends
	// messages that may be another queue group's any moment: nothing of them is attempted
	leaving   map[mail.ID]struct{}
	rerouted  rerouted
	counters  counters
	free      []*transaction
	actions   []action
	refusals  []*transaction
	unreached []unreached // to be logged
	said      struct {
		until time.Time
		sites int
	}
	known known
}

// action is something the shell has to do.
type action struct {
	kind  actionKind
	conn  *conn
	dest  *destination
	after row
	until time.Time
	max   int
	from  string
}

type actionKind uint8

const (
	actOpen   actionKind = iota // start conn's goroutine
	actLookup                   // find dest's hosts, then call resolved
	actLoad                     // read max items of dest after the cursor, then call loaded
	actScan                     // read max domains above from, then call scanned
)

// Bounds of the work under way for the disk.
const (
	maxLoading  = 4
	loadAtMost  = 1000 // items of one load
	probeWindow = 4    // items in memory of a destination whose site is being probed
)

func newCore(o *Options, set *settings) *core {
	c := &core{
		o: o, set: set, rand: jitter.NewRand(o.Seed), conns: map[*conn]struct{}{},
		dests: map[destKey]*destination{}, sites: map[string]*site{},
		rerouted: rerouted{strays: map[strayKey]int{}},
		leaving:  map[mail.ID]struct{}{},
		known:    known{first: map[mail.ID]int32{}},
		cached:   func(*route, string) (*mx.Route, *smtp.Failure, bool) { return nil, nil, false },
	}
	c.number(set, &settings{})
	c.counters.init(o)
	c.scan.timer.Fire = c.scanStep
	c.disowned.Fire = c.askOwner
	c.barring.Fire = c.rebar
	c.memory.Fire = func(time.Time) { c.short = false }
	return c
}

// accepted takes new items from the queue.
func (c *core) accepted(items []queue.Item, now time.Time) {
	c.shed(now)
	var previous *entry
	for i := range items {
		it := &items[i]
		if len(c.set.routes) == 0 {
			previous = c.acceptOne(it, noRoute, previous, now)
			continue
		}
		for n, part := range c.split(it) {
			share := *it
			share.Recipients = part.recipients
			if n > 0 { // one of them has the content's memory
				share.Content, share.Release = nil, nil
			}
			previous = c.acceptOne(&share, part.route, previous, now)
		}
	}
}

// acceptOne offers an item and links it with the one before if they are of the same message. It
// returns the new previous one.
func (c *core) acceptOne(it *queue.Item, route int, previous *entry, now time.Time) *entry {
	d := c.destinationOf(it.Domain, route, now)
	if d == nil { // the map is full
		releaseItem(it)
		return previous
	}
	e := c.offer(d, it, now)
	if e == nil {
		return previous
	}
	if previous != nil && previous.item.Message == it.Message {
		e.sibling, previous.sibling = previous.ring(), e
	}
	return e
}

// ring returns what follows e in the ring of its siblings: itself when it is alone.
func (e *entry) ring() *entry {
	if e.sibling == nil {
		return e
	}
	return e.sibling
}

// offer takes a new item into memory if its turn can come soon, else leaves it to the disk (nil).
func (c *core) offer(d *destination, it *queue.Item, now time.Time) *entry {
	d.used = true
	c.homeward(d, now)
	if it.Due.After(now.Add(dueSlack)) {
		c.dueLater(d, it.Due)
		releaseItem(it)
		return nil
	}
	f := d.flow(&it.Message.Envelope.Origin)
	if c.flowSuspended(it) {
		d.passed = true
		releaseItem(it)
		return nil
	}
	// A message can be read before it is heard of here: a row that loads have passed may
	// have been attempted already.
	cost := int64(entryCost + recipientCost*len(it.Recipients))
	read := !d.seen.before(rowOf(it)) || c.astray(it)
	if read || !c.room(d, f) || !c.o.Budget.TryReserve(cost) {
		if !read {
			c.tellNew(d, it, now)
		}
		f.onDisk = true
		d.rewind(rowOf(it))
		releaseItem(it)
		c.wantMore(d)
		return nil
	}
	e := &entry{item: *it, dest: d, flow: f, cost: cost}
	if k := e.row(); !d.backlog && !d.loading && d.cursor.before(k) &&
		(d.nextDue.IsZero() || it.Due.Before(d.nextDue)) {
		d.cursor = k // nothing else lies before it: the next load need not pass over its grave
	}
	c.add(e, false)
	if d.state == destNew {
		c.resolve(d, now)
	}
	return e
}

// dueSlack: a fresh item's due time is its ID's, which may be ahead of the clock by a little
// (mail.IDs).
const dueSlack = time.Second

// shed gives up the contents of what will wait for a while when more than three quarters of the
// memory for mail are in use: they can be read from disk again.
func (c *core) shed(now time.Time) {
	if b := c.o.Budget; b.Used() <= b.Limit()/4*3 || now.Before(c.shedAgain) {
		return
	}
	c.shedAgain = now.Add(shedInterval)
	for _, d := range c.all {
		if d.waiting <= shedKeeps {
			continue
		}
		for _, f := range d.flows {
			n := 0
			for e := f.list.head; e != nil; e = e.next {
				if n++; n > shedKeeps && e.taken == 0 {
					e.release()
				}
			}
		}
	}
}

const (
	shedInterval = 100 * time.Millisecond // it walks through all that is in memory
	shedKeeps    = 2                      // entries of each flow whose turn is near
)

// room reports whether a new item of flow f may come into memory, making room if the flow has less
// than its share.
func (c *core) room(d *destination, f *flow) bool {
	switch d.state {
	case destWaiting, destRefused:
		return false
	case destAttached:
		if !d.site.reachable() || d.site.state == siteProbing && d.waiting >= probeWindow {
			return false
		}
	}
	if f.onDisk || c.stopping || d.suspension != nil {
		return false
	}
	if d.held() >= c.window() && !c.yield(d, f) {
		return false
	}
	return c.held < c.o.WindowTotal || c.trimOthers()
}

// window is how many entries one destination may have in memory: fewer when memory is shared by
// many.
func (c *core) window() int {
	if c.held < c.o.WindowTotal/2 {
		return c.o.Window
	}
	return max(16, min(c.o.Window, c.o.WindowTotal/(2*max(1, c.active))))
}

// yield makes room in d's window for a flow with less than half of what the longest has.
func (c *core) yield(d *destination, f *flow) bool {
	if len(d.flows) < 2 || len(d.flows) > maxIdleTenants {
		return false
	}
	for _, g := range d.flows {
		if g.list.n > 2*f.list.n+2 {
			return c.trim(d, d.waiting-max(1, d.waiting/8))
		}
	}
	return false
}

// trimOthers makes room in memory by cutting back destinations that have more than the present
// window.
func (c *core) trimOthers() bool {
	n := c.window()
	for range min(256, len(c.all)) {
		c.hand++
		if d := c.all[c.hand%len(c.all)]; d.waiting > n && c.trim(d, n) {
			return true
		}
	}
	return false
}

func releaseItem(it *queue.Item) {
	if it.Release != nil {
		it.Release()
	}
}

// changed forgets what is known of messages that an operator changed, and looks at their domains
// again. Attempts under way go on to their end, and their outcomes count as far as the queue lets
// them; what turns out not to have been attempted is left to the disk.
func (c *core) changed(ids []mail.ID, domains []string, now time.Time) {
	for _, d := range c.loading {
		d.stale = true
	}
	gone := make(map[mail.ID]struct{}, len(ids))
	for _, id := range ids {
		gone[id] = struct{}{}
	}
	c.eachWaiting(func(e *entry) {
		if _, ok := gone[e.item.Message.ID]; ok {
			e.moved = true
			c.cut(e)
			c.wantMore(e.dest)
		}
	})
	c.eachBusy(func(e *entry) {
		if _, ok := gone[e.item.Message.ID]; ok {
			e.moved = true
		}
	})
	for _, name := range domains {
		c.lookAgain(name, now)
	}
}

// eachWaiting calls fn with each waiting entry. It walks all the memory: operators are slow.
func (c *core) eachWaiting(fn func(e *entry)) {
	for _, d := range c.all {
		if d.waiting == 0 {
			continue
		}
		for _, f := range d.flows {
			for e := f.list.head; e != nil; {
				next := e.next
				fn(e)
				e = next
			}
		}
	}
}

// eachBusy calls fn with each entry of which nothing waits any more.
func (c *core) eachBusy(fn func(e *entry)) {
	for _, d := range c.all {
		for e := d.busy.head; e != nil; e = e.next {
			fn(e)
		}
	}
}

// lookAgain reads a domain's schedule again from its beginning.
func (c *core) lookAgain(domain string, now time.Time) {
	found := false
	for d := range c.of(domain) {
		found = true
		d.rewind(row{})
		c.wantMore(d)
	}
	if !found && c.destination(destKey{domain, c.routeOfDomain(domain)}, now) == nil {
		c.scan.missed = true
	}
}

// flush lets what is put off by a site's or a look-up's failure be tried at once; no domains means
// all.
func (c *core) flush(domains []string, now time.Time) {
	wake := func(d *destination) {
		switch {
		case d.state == destWaiting || d.state == destRefused:
			c.renew(d)
		case d.state == destAttached && d.site.state == siteDead:
			c.timers.Stop(&d.site.timer)
			c.become(d.site, siteProbing, now)
		}
	}
	if len(domains) == 0 {
		for _, d := range c.all {
			wake(d)
		}
	}
	for _, name := range domains {
		for d := range c.of(name) {
			wake(d)
		}
	}
}

// tick fires the timers that are due.
func (c *core) tick(now time.Time) {
	for a := c.timers.Due(now); a != nil; a = c.timers.Due(now) {
		a.Fire(now)
	}
	c.closeIdle(now)
}

// nextWake is when tick is to be called next.
func (c *core) nextWake() (at time.Time, ok bool) {
	at, ok = c.timers.Next()
	if cn := c.idlers.head; cn != nil {
		if t := cn.idleSince.Add(c.o.IdleTimeout); !ok || t.Before(at) {
			return t, true
		}
	}
	return at, ok
}
