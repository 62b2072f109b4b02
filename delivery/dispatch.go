package delivery

import (
	"time"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/share"
	"github.com/postroad/postroad/internal/mail"
)

// conn is the core's side of one outgoing connection. Its goroutine owns it while it is opening,
// busy or closing; the core owns it while it is idle, and then wakes it by wake.
type conn struct {
	site       *site
	set        *settings   // by which it was opened; never changes
	hop        hop         // never changes
	lease      *share.Site // where it counts; nil: nowhere else
	state      connState
	lively     bool // something got through
	sent       int  // transactions
	turn       int  // transactions since it was last idle
	opened     time.Time
	idleSince  time.Time
	next, prev *conn
	wake       chan struct{}
	tx         *transaction // what to do next; nil with wake: close
	hosts      *mx.Route
	avoid      string    // a host that had enough of us
	shell      shellConn // of its goroutine
}

type connState uint8

const (
	connOpening connState = iota
	connBusy
	connIdle
	connClosing
)

// dispatch does what has become possible. It is called at the end of each event.
func (c *core) dispatch(now time.Time) {
	for c.ready.Len() > 0 && c.mayStart(now) {
		s, _ := c.ready.Pop()
		s.queued = false
		c.serve(s, now)
		if c.ready.Len() == 0 {
			c.feedStarved()
		}
	}
	if c.lookups.Len() > 0 {
		c.dispatchLookups()
	}
	if c.loads.Len() > 0 {
		c.dispatchLoads(now)
	}
}

// rouse puts a site that has something waiting into the ready list.
func (c *core) rouse(s *site) {
	if !s.queued && s.waiting > 0 {
		s.queued = true
		c.ready.Push(s)
	}
}

// mayStart reports whether attempts may be started at all.
func (c *core) mayStart(now time.Time) bool {
	if c.stopping || c.jammed || c.unsettled >= c.o.Unsettled {
		return false
	}
	if !c.o.owns() {
		c.timers.SetEarlier(&c.disowned, now.Add(ownerAgain))
		return false
	}
	return true
}

// ownerAgain is when to ask again whether this node owns its messages.
const ownerAgain = 250 * time.Millisecond

// askOwner asks again. Whoever is still not the owner keeps no connection for later: another may
// need it.
func (c *core) askOwner(time.Time) {
	for c.idlers.head != nil && !c.o.owns() {
		c.dismiss(c.idlers.head)
	}
}

// serve gives a site's idle connections work and opens further ones, as far as its limits go.
func (c *core) serve(s *site, now time.Time) {
	for s.waiting > 0 && s.state != siteDead {
		if !c.mayStart(now) {
			c.rouse(s)
			return
		}
		if at := s.ready(now); at.After(now) {
			c.timers.SetEarlier(&s.timer, at)
			c.throttled(s, now)
			return
		}
		if len(s.idle) > 0 {
			t := c.pick(s, now)
			if t == nil {
				return
			}
			cn := s.idle[len(s.idle)-1]
			c.unidle(cn)
			c.start(cn, t)
			cn.wake <- struct{}{}
			continue
		}
		if !c.openAnother(s, now) {
			c.throttled(s, now)
			return
		}
	}
}

// openAnother opens a connection to s unless a limit says no.
func (c *core) openAnother(s *site, now time.Time) bool {
	switch {
	case s.connecting >= s.waiting, s.open >= s.allow, s.open >= s.shape.Connections:
		return false
	case s.shape.Rate.Count > 0 && s.connecting > 0:
		return false // the rate will hardly need two at a time
	case s.pause.After(now):
		c.timers.SetEarlier(&s.timer, s.pause)
		return false
	case len(c.conns) >= c.set.Connections:
		c.starve(s)
		return false
	}
	if !c.fresh(s, now) || s.lease != nil && !s.lease.Open(s.wanted()) {
		return false
	}
	cn := &conn{site: s, set: c.set, hop: s.via.hop(c.set), lease: s.lease, hosts: s.hosts,
		wake: make(chan struct{}, 1), opened: now, avoid: s.avoid}
	s.avoid = ""
	s.open++
	s.connecting++
	c.conns[cn] = struct{}{}
	c.actions = append(c.actions, action{kind: actOpen, conn: cn})
	return true
}

// fresh reports whether the hosts of s may still be used; if not, one of its waiting destinations
// is looked up again.
func (c *core) fresh(s *site, now time.Time) bool {
	for {
		f := s.peek()
		if f == nil {
			return false
		}
		if !now.After(f.dest.valid) {
			return true
		}
		c.resolve(f.dest, now)
	}
}

// starve notes that s waits for one of the node's connections, and takes one from those who do not
// use theirs.
func (c *core) starve(s *site) {
	if !s.starved {
		s.starved = true
		c.starved.Push(s)
	}
	if cn := c.idlers.head; cn != nil {
		c.dismiss(cn)
	}
}

// connected gives a connection that was opened its first transaction. It may leave it idle or
// closing.
func (c *core) connected(cn *conn, now time.Time) {
	cn.site.connecting--
	c.counters.Connected++
	c.next(cn, now)
}

// connectFailed ends a connection that could not be opened. why may be our own fault, which says
// nothing about the site.
func (c *core) connectFailed(cn *conn, why mail.Attempt, ours bool, now time.Time) {
	s := cn.site
	s.connecting--
	c.counters.ConnectFailed++
	switch {
	case c.stopping, c.outdated(cn):
	case ours:
		s.reason = why
		s.pause = now.Add(c.o.Backoff.First)
		c.timers.SetEarlier(&s.timer, s.pause)
	default:
		c.troubled(s, why, now)
	}
	c.closed(cn)
}

// finished takes a transaction back from its connection and decides what the connection does next.
func (c *core) finished(cn *conn, t *transaction, v *verdict, now time.Time) {
	s := cn.site
	cn.tx = nil
	if !v.none {
		cn.sent++
		cn.turn++
	}
	if v.tooMany > 0 {
		s.takes = min(s.shape.RecipientsPerMessage, v.tooMany)
		s.shape.RecipientsPerMessage = s.takes
	}
	if v.throttled {
		s.avoid = cn.shell.host
	}
	if v.through {
		s.losses = 0
		c.succeeded(s, cn, now)
	}
	switch {
	case v.trouble && v.late && s.losses+1 < lossesInARow && s.state != siteDead:
		s.losses++
	case v.trouble:
		if cn.lively {
			cn.lively = false
			s.lively--
		}
		c.troubled(s, v.reason, now)
	}
	c.end(t, v)
	if s.state == siteProbing {
		c.probe(s) // the attempt said nothing of the site
	}
	if !v.usable {
		cn.state = connClosing
		return
	}
	c.next(cn, now)
}

// lossesInARow is how many connections in a row must be lost after MAIL was answered until that
// says something of the site. A single message can do that, one at which a filter there breaks.
const lossesInARow = 5

// turnLength is how many transactions a connection makes in a row when other sites wait for a
// connection.
const turnLength = 10

// next gives cn its next transaction, or lets it idle, or tells it to close.
func (c *core) next(cn *conn, now time.Time) {
	s := cn.site
	switch {
	case c.stopping, s.state == siteDead, cn.sent >= s.shape.MessagesPerConnection,
		s.open > s.allow, s.open > s.share, len(c.conns) > c.set.Connections,
		c.outdated(cn),
		c.starved.Len() > 0 && cn.turn >= turnLength:
		cn.state = connClosing
		return
	}
	if c.mayStart(now) {
		if at := s.ready(now); !at.After(now) {
			if t := c.pick(s, now); t != nil {
				c.start(cn, t)
				return
			}
		} else if s.waiting > 0 {
			c.timers.SetEarlier(&s.timer, at)
			c.throttled(s, now)
		}
	} else {
		c.rouse(s)
	}
	if c.starved.Len() > 0 {
		cn.state = connClosing
		return
	}
	c.idle(cn, now)
}

// outdated reports whether cn was opened in another way than it would be now.
func (c *core) outdated(cn *conn) bool { return cn.set.way != c.set.way && !cn.site.local }

func (c *core) start(cn *conn, t *transaction) {
	cn.state, cn.tx, t.conn = connBusy, t, cn
	c.counters.Transactions++
}

func (c *core) idle(cn *conn, now time.Time) {
	cn.state, cn.idleSince, cn.turn = connIdle, now, 0
	cn.site.idle = append(cn.site.idle, cn)
	c.idlers.pushBack(cn)
}

func (c *core) unidle(cn *conn) {
	idle := cn.site.idle
	for i := len(idle) - 1; i >= 0; i-- {
		if idle[i] == cn {
			copy(idle[i:], idle[i+1:])
			idle[len(idle)-1] = nil
			cn.site.idle = idle[:len(idle)-1]
			break
		}
	}
	c.idlers.remove(cn)
}

// dismiss tells an idle connection to close.
func (c *core) dismiss(cn *conn) {
	c.unidle(cn)
	cn.state = connClosing
	cn.wake <- struct{}{}
}

// closeIdle dismisses the connections that were idle for too long.
func (c *core) closeIdle(now time.Time) {
	for cn := c.idlers.head; cn != nil &&
		!now.Before(cn.idleSince.Add(c.o.IdleTimeout)); cn = c.idlers.head {
		c.dismiss(cn)
	}
}

// closed takes note that a connection is closed. Until then it counts.
func (c *core) closed(cn *conn) {
	s := cn.site
	s.open--
	delete(c.conns, cn)
	if cn.lease != nil {
		cn.lease.Closed()
	}
	if cn.lively {
		s.lively--
	}
	c.rouse(s)
	c.feedStarved()
	c.tidy(s)
}

// feedStarved rouses the next site that waits for a connection, if there is one to be had.
func (c *core) feedStarved() {
	for len(c.conns) < c.set.Connections && c.ready.Len() == 0 {
		s, ok := c.starved.Pop()
		if !ok {
			return
		}
		s.starved = false
		c.rouse(s)
	}
}

// stop lets no further transaction begin and dismisses the idle connections.
func (c *core) stop() {
	c.stopping = true
	for c.idlers.head != nil {
		c.dismiss(c.idlers.head)
	}
}

// connList is a list of connections through their own links.
type connList struct{ head, tail *conn }

func (l *connList) pushBack(cn *conn) {
	cn.prev, cn.next = l.tail, nil
	if l.tail == nil {
		l.head = cn
	} else {
		l.tail.next = cn
	}
	l.tail = cn
}

func (l *connList) remove(cn *conn) {
	if cn.prev == nil {
		l.head = cn.next
	} else {
		cn.prev.next = cn.next
	}
	if cn.next == nil {
		l.tail = cn.prev
	} else {
		cn.next.prev = cn.prev
	}
	cn.next, cn.prev = nil, nil
}
