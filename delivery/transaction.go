package delivery

import (
	"slices"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// transaction is one message for some recipients at one site, on its way from the core to a
// connection and back, and then until the queue has recorded its outcomes. It is used again after
// that.
type transaction struct {
	conn       *conn
	set        *settings // by which it goes from beginning to end
	message    *queue.Message
	pieces     []piece
	recipients []uint32
	outcomes   []queue.Outcome
	started    time.Time
	body       []byte        // the content, when it is in memory
	local      bool          // it went to the store of our own
	final      bool          // what was taken is in a mailbox: nobody after us reports of it
	possible   bool          // an earlier attempt may have succeeded
	refusal    *smtp.Failure // set: fail the recipients without an attempt
	recorded   func(error)
}

// piece is what a transaction has of one entry: recipients[from:to].
type piece struct {
	e        *entry
	from, to int
	settling bool // outcomes of it are with the queue
}

// siteKey is that of the site it goes to.
func (t *transaction) siteKey() string {
	if t.conn == nil {
		return ""
	}
	return t.conn.site.key
}

// pick takes the next transaction of a site out of its round; nil: nothing waits.
func (c *core) pick(s *site, now time.Time) *transaction {
	for {
		f := s.turn()
		if f == nil {
			return nil
		}
		if d := f.dest; now.After(d.valid) || c.isHome(d) != s.local {
			c.resolve(d, now) // its hosts may have changed: it leaves the site, for now or for good
			continue
		}
		t := c.transaction()
		e := f.list.head
		t.message, t.started = e.item.Message, now
		c.handOut(t, e, s)
		for x := e.ring(); x != e; x = x.ring() {
			if x.state == entryWaiting && x.dest.state == destAttached && x.dest.site == s &&
				c.isHome(x.dest) == s.local {
				c.handOut(t, x, s)
			}
		}
		s.take(now)
		c.scheduleLookahead(e.dest, now)
		return t
	}
}

// handOut puts recipients of a waiting entry into a transaction, as many as it may have.
func (c *core) handOut(t *transaction, e *entry, s *site) {
	n := min(len(e.item.Recipients)-e.taken, s.shape.RecipientsPerMessage-len(t.recipients))
	if n <= 0 {
		return
	}
	from := len(t.recipients)
	t.recipients = append(t.recipients, e.item.Recipients[e.taken:e.taken+n]...)
	t.pieces = append(t.pieces, piece{e: e, from: from, to: from + n})
	if t.body == nil {
		t.body = e.item.Content
	}
	t.possible = t.possible || e.item.MaybeAttempted
	e.taken += n
	e.open++
	if e.taken == len(e.item.Recipients) {
		c.unqueue(e)
		c.busied(e)
	}
	if e.flow.list.n > 0 {
		s.enqueue(e.flow)
	}
	c.wantMore(e.dest)
}

func (c *core) transaction() *transaction {
	if n := len(c.free); n > 0 {
		t := c.free[n-1]
		c.free = c.free[:n-1]
		t.set = c.set
		return t
	}
	return &transaction{set: c.set}
}

// recycle keeps a transaction for later. Nobody refers to it any more.
func (c *core) recycle(t *transaction) {
	clear(t.pieces)
	clear(t.outcomes)
	*t = transaction{pieces: t.pieces[:0], recipients: t.recipients[:0], outcomes: t.outcomes[:0],
		recorded: t.recorded}
	if len(c.free) < 1024 && cap(t.recipients) <= 1024 {
		c.free = append(c.free, t)
	}
}

// verdict is what a transaction came to.
type verdict struct {
	again   []int // places in recipients that were not attempted after all
	none    bool  // nothing was attempted
	through bool  // the peer answered: the site works
	usable  bool  // the connection can be used again
	trouble bool  // the site did not behave; why is in reason
	late    bool  // it did after MAIL was answered: the message may be to blame
	reason  mail.Attempt
	// the host has enough of us: the next connection is to be to another, if there is one
	throttled bool
	tooMany   int // the peer took only so many recipients in one transaction; 0: it did not say
}

// end takes a transaction back from its connection: what was not attempted waits again, the rest
// waits for the queue.
func (c *core) end(t *transaction, v *verdict) {
	for i := range t.pieces {
		p := &t.pieces[i]
		back := t.returned(p, v)
		p.settling = len(back) < p.to-p.from
		if len(back) > 0 {
			c.giveBack(p, back)
		}
	}
	c.unsettled += len(t.outcomes)
	c.counters.count(t, t.conn.site)
	t.conn = nil
	if len(t.outcomes) == 0 {
		c.recycle(t)
	}
}

// returned lists the recipients of a piece that were not attempted.
func (t *transaction) returned(p *piece, v *verdict) []uint32 {
	if v.none {
		return t.recipients[p.from:p.to]
	}
	var back []uint32
	for _, i := range v.again {
		if p.from <= i && i < p.to {
			back = append(back, t.recipients[i])
		}
	}
	return back
}

// giveBack lets recipients of a piece wait again, at the head of their flow; or leaves them to the
// disk, when an operator has changed their message since: they may be held or gone.
func (c *core) giveBack(p *piece, back []uint32) {
	e := p.e
	if !p.settling {
		e.open--
	}
	if !e.moved && e.open == 0 && e.state == entryBusy && len(back) == len(e.item.Recipients) {
		e.dest.busy.remove(e)
		e.taken = 0
		c.held--
		if e.dest.held() == 0 {
			c.active--
		}
		c.add(e, true)
		c.ifGone(e)
		return
	}
	e.part(back)
	if e.moved {
		e.dest.reread(e)
		c.wantMore(e.dest)
	} else {
		rest := &entry{item: e.item, dest: e.dest, flow: e.flow}
		rest.item.Recipients = slices.Clone(back)
		rest.item.Content, rest.item.Release = nil, nil
		c.add(rest, true)
		c.ifGone(rest)
	}
	if e.open == 0 && e.state == entryBusy {
		e.dest.busy.remove(e)
		c.leave(e)
	}
}

// part takes recipients that were handed out away from an entry.
func (e *entry) part(back []uint32) {
	e.item.Recipients = without(slices.Clone(e.item.Recipients), back)
	e.taken -= len(back)
}

// ifGone leaves a waiting entry to the disk at once when its site died, or it was suspended, while
// it was being attempted.
func (c *core) ifGone(e *entry) {
	d := e.dest
	if d.state == destWaiting || d.state == destAttached && d.site.state == siteDead ||
		d.suspended() || c.flowSuspended(&e.item) {
		c.drop(e)
		c.wantMore(d)
	}
}

// settled takes note that the queue has recorded a transaction's outcomes.
func (c *core) settled(t *transaction, now time.Time) {
	c.unsettled -= len(t.outcomes)
	for i := range t.outcomes {
		o := &t.outcomes[i]
		if o.State == queue.Deferred {
			c.written(t.destination(o.Domain), row{o.Due.UnixMilli(), o.ID}, o.Due, now)
		}
	}
	for i := range t.pieces {
		p := &t.pieces[i]
		if !p.settling {
			continue
		}
		if p.e.open--; p.e.open == 0 && p.e.state == entryBusy {
			p.e.dest.busy.remove(p.e)
			c.leave(p.e)
		}
	}
	c.recycle(t)
}

// destination returns the one of a transaction's destinations that has the domain.
func (t *transaction) destination(domain string) *destination {
	for i := range t.pieces {
		if d := t.pieces[i].e.dest; d.key.domain == domain {
			return d
		}
	}
	return t.pieces[0].e.dest
}

// written takes note of a row that the queue has written.
func (c *core) written(d *destination, r row, due, now time.Time) {
	if !due.After(now) || !d.cursor.before(r) {
		d.rewind(r)
		c.wantMore(d)
		return
	}
	c.dueLater(d, due)
}
