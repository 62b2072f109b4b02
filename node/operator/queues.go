package operator

import (
	"context"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/operate/admin"
	"github.com/postroad/postroad/queue"
)

// Queue is a queue group that this node has.
type Queue interface {
	ID() uint64
	// Term is the present term in which this node owns the group; nil: it does not.
	Term() *Term
	// Suspensions are those that the group has acknowledged.
	Suspensions() (queue.Suspensions, error)
	// Suspend has the group acknowledge a version of the list.
	Suspend(ctx context.Context, version uint64, all []queue.Suspension) (queue.Suspensions, error)
	// Locker is held while a list is taken over.
	sync.Locker
}

// Term is a term of ownership of a queue group.
type Term struct {
	// Queue is the group's, Scheduler what delivers its mail.
	Queue     *queue.Queue
	Scheduler *delivery.Scheduler
	// Holds reports whether the term lasts, and nobody else can own the queue.
	Holds func() bool
}

// Queues are those that this node owns (admin.Options.Queues).
func (op *Operator) Queues() (all []admin.LocalQueue) {
	for _, q := range op.o.Queues() {
		t := q.Term()
		if t == nil || !t.Holds() {
			continue
		}
		all = append(all, admin.LocalQueue{
			Group: q.ID(), Queue: flushing{t.Queue, t.Scheduler}, Holds: t.Holds,
			InFlight: t.Scheduler.InFlight, Reason: t.Scheduler.Reason,
			Waits: t.Scheduler.Waits,
			Suspension: func(domain string, from *mail.Origin) (string, time.Time, bool) {
				s, ok := t.Scheduler.Suspension(domain, from)
				return s.Reason, s.Until, ok
			},
		})
	}
	return all
}

// flushing is a queue whose flush also lets sites that are left alone be tried at once.
type flushing struct {
	*queue.Queue
	scheduler *delivery.Scheduler
}

func (q flushing) Flush(
	ctx context.Context, f queue.Filter, moved queue.Moved,
) (queue.Total, error) {
	total, err := q.Queue.Flush(ctx, f, moved)
	if f.Domain != "" {
		q.scheduler.Flush(f.Domain)
	} else {
		q.scheduler.Flush()
	}
	return total, err
}

// Moved logs what an operator did to one recipient (admin.Options.Moved).
func (op *Operator) Moved(verb string, m *queue.Stored, recipient uint32, to queue.State) {
	if !to.Final() {
		return
	}
	msg := m.Message
	why := m.Recipients[recipient].Last // of fail; remove has none
	if verb == "remove" {
		why = mail.Attempt{Enhanced: "5.7.1", Text: "removed by an operator, without a report"}
	}
	r := &maillog.Record{
		Type: maillog.AdminBounce, At: op.o.Now(), Attempts: m.Recipients[recipient].Attempts,
		Enhanced: why.Enhanced, Text: why.Text, Relay: why.Remote,
	}
	r.Describe(msg.ID, msg.Envelope, msg.Size, msg.Arrived)
	r.To(&msg.Envelope.Recipients[recipient])
	op.o.Log(r)
}

// QueueGroups are all queue groups of the cluster (admin.Options.Groups).
func (op *Operator) QueueGroups() (all []admin.QueueGroup) {
	for _, g := range op.o.State.Groups() {
		if g.Kind == control.KindQueue && g.State != control.GroupNew {
			m, _ := op.o.State.Member(g.Home)
			all = append(all, admin.QueueGroup{ID: g.ID, Home: m.Name})
		}
	}
	return all
}
