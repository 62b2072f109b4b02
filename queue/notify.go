package queue

import (
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

// notifications gathers what the listener is told after the batch is in the store. Used by the
// apply goroutine, and only while this member is the owner: what an older owner's commands still
// bring is found on disk.
type notifications struct {
	q           *Queue
	items       []Item
	itemsOf     *run // whose items they are
	ids         []mail.ID
	domains     []string
	removed     []mail.ID
	report      bool
	rows        []wroteRow // schedule rows written
	names       []byte     // their domains
	suspensions *Suspensions
	stored      []storedMessage
}

// storedMessage is somebody who waits to hear that a message is stored.
type storedMessage struct {
	observer mail.Observer
	id       mail.ID
}

type wroteRow struct {
	end int // of the domain in names
	place
}

// fresh is a message, its item and their parts in one allocation, which is what almost every
// message needs.
type fresh struct {
	Message
	parts [1]PartRef
	to    [1]uint32
}

// owner returns the run that this member's commands belong to, or nil when another's are being
// applied.
func (n *notifications) owner() *run {
	if r := n.q.run.Load(); r != nil && r.session == n.q.machine.Meta.Epoch {
		return r
	}
	return nil
}

// Accepted hands a message of a proposer of this member to the scheduler with its content, and says
// of another one only that it is there.
func (n *notifications) Accepted(c *machine.Command, i int, parts []PartRef) {
	if r := n.owner(); r != nil && c.Slot.Session == r.session {
		if b := r.underWay(c); b != nil {
			n.itemsOf = r
			n.add(b, i, c.Accept[i].Size, parts)
			return
		}
		n.q.late.Add(1) // the client heard 451 and will send the message again, but it is ours now
	} else if r := n.q.pastRun(c.Slot.Session); r != nil && r.underWay(c) == nil {
		n.q.late.Add(1)
	}
	n.Changed(&n.q.machine.Msg)
}

func (n *notifications) add(b *batch, i int, size int64, parts []PartRef) {
	s := &b.subs[i]
	if o := s.content.Observer; o != nil {
		n.stored = append(n.stored, storedMessage{o, b.ids[i]})
	}
	f := &fresh{Message: Message{
		ID: b.ids[i], Envelope: s.env, Arrived: b.ids[i].Time(), Size: size,
		IsReport: s.report.Kind != 0,
	}}
	f.Parts = append(f.parts[:0], parts...)
	if rs := s.env.Recipients; len(rs) == 1 {
		n.item(b, i, f, rs[0].Domain, f.to[:])
		return
	}
	v := &n.q.machine.Msg.Rec.EnvelopeView
	for d := range v.Domains {
		to := v.OfDomain(nil, uint32(d))
		n.item(b, i, f, s.env.Recipients[to[0]].Domain, to)
	}
}

func (n *notifications) item(b *batch, i int, f *fresh, domain string, to []uint32) {
	it := Item{Message: &f.Message, Domain: domain, Due: f.Arrived, Recipients: to}
	if b.buffer != nil { // else the content is large and is not in memory as a whole
		if it.Release = b.buffer.hold(n.q.opts.Budget); it.Release != nil {
			it.Content = b.of(i)
		}
	}
	n.items = append(n.items, it)
}

// Scheduled notes a schedule row, for the scan hints.
func (n *notifications) Scheduled(domain []byte, due int64, e *machine.ChangeSet) {
	n.names = append(n.names, domain...)
	n.rows = append(n.rows, wroteRow{len(n.names), place{due, e.ID}})
}

// Changed notes a message whose schedule the scheduler has to read again.
func (n *notifications) Changed(e *machine.ChangeSet) {
	if n.q.run.Load() == nil && !n.q.starting.Load() {
		return // nobody listens
	}
	n.ids = append(n.ids, e.ID)
	for _, t := range e.Rec.Domains {
		n.domains = append(n.domains, string(t))
	}
}

// Gone notes a message that was removed.
func (n *notifications) Gone(e *machine.ChangeSet) {
	if n.q.run.Load() != nil {
		n.removed = append(n.removed, e.ID)
	}
}

// ReportDue notes that a report became due.
func (n *notifications) ReportDue() { n.report = true }

// Suspended notes what is suspended from now on.
func (n *notifications) Suspended(s Suspensions) { n.suspensions = &s }

// tell hands over what was gathered. The slices are used again.
func (n *notifications) tell() {
	from := 0
	for _, row := range n.rows {
		n.q.hints.wrote(n.names[from:row.end], row.place)
		from = row.end
	}
	n.rows, n.names = n.rows[:0], n.names[:0]
	if n.report {
		n.q.wakeReporter()
		n.report = false
	}
	for _, s := range n.stored {
		s.observer.Stored(s.id)
	}
	n.tellOwner()
	clear(n.stored)
	clear(n.items)
	clear(n.domains)
	n.items, n.ids, n.domains, n.removed = n.items[:0], n.ids[:0], n.domains[:0], n.removed[:0]
	n.stored, n.itemsOf, n.suspensions = n.stored[:0], nil, nil
}

// tellOwner tells the listener of the term that the batch ends in. Items of a term before it are on
// disk, where the listener finds them.
func (n *notifications) tellOwner() {
	r := n.owner()
	if r != n.itemsOf {
		for i := range n.items {
			if give := n.items[i].Release; give != nil {
				give()
			}
		}
	}
	if r == nil || r.listener == nil {
		return
	}
	if n.suspensions != nil {
		r.listener.Suspended(*n.suspensions)
	}
	if len(n.items) > 0 && r == n.itemsOf {
		r.listener.Accepted(n.items)
	}
	if len(n.ids) > 0 {
		r.listener.Changed(n.ids, n.domains)
	}
	if len(n.removed) > 0 {
		r.listener.Gone(n.removed)
	}
}

func (q *Queue) wakeReporter() {
	select {
	case *q.reports.Load() <- struct{}{}:
	default:
	}
}
