package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/owner"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/report"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/rows"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// holding is this node's member of one queue group: the applied queue, and while the node owns the
// group what delivers its mail.
type holding struct {
	replica
	n       *node
	queue   *queue.Queue
	tenure  atomic.Pointer[tenure]
	obeying sync.Mutex // one take-over of the suspensions at a time
	handing handing
	figures sync.Mutex
	past    delivery.Stats // of terms that have ended
	reports uint64
}

// tenure is one term of ownership.
type tenure struct {
	h         *holding
	term      uint64
	scheduler *delivery.Scheduler
	reporter  *report.Reporter
}

// hold makes this node take part in a queue group. With first it is the group's first member.
func (n *node) hold(id uint64, first bool) (*holding, error) {
	h := &holding{n: n, handing: newHanding()}
	h.replica = n.newReplica(id, h.own)
	h.queue = queue.New(queue.Options{
		Member: n.self.Member, Budget: n.budget, IDs: n.ids,
		Forward: rows.ProposerFunc(h.group.Forward), Room: n.roomFor,
		InFlight: func(id mail.ID, recipient uint32) bool {
			t := h.tenure.Load()
			return t != nil && t.scheduler.InFlight(id, recipient)
		},
		Caught: func(id mail.ID, recipient uint32) bool {
			t := h.tenure.Load()
			return t == nil || t.scheduler.Caught(id, recipient)
		},
	})
	h.queue.Open(h.group)
	return h, h.join(first, h.queue)
}

// own makes this node the owner: from now on it takes the group's mail and delivers it.
func (h *holding) own(ctx context.Context, term uint64) (owner.Term, error) {
	t := &tenure{h: h, term: term}
	q := delivery.FromQueue(h.queue)
	err := h.n.outgoing.begin(t, func(s delivery.Settings) (err error) {
		o := h.n.deliveryOptions(h, term, s)
		t.reporter = report.New(report.Options{
			Settings: reportSettings(s), Hostname: o.Hostname, Mailboxes: delivery.LocalSite,
			Known: h.n.known, Log: o.Log,
			Now: o.Now, Logf: o.Logf,
		}, reportQueue{q, h.n.policy})
		t.scheduler, err = delivery.New(o, q, h.n.resolver, delivery.DialSMTP)
		return err
	})
	if err != nil {
		return nil, err
	}
	h.tenure.Store(t)
	if err := h.queue.Start(ctx, h.group, t.scheduler); err != nil {
		h.tenure.Store(nil)
		h.n.outgoing.end(t)
		return nil, errors.Join(err, t.scheduler.Shutdown(ctx))
	}
	t.reporter.Start()
	if h.n.operator.Learn(ctx, operated{h}) != nil {
		return t, nil // the term has ended: what comes next abandons it
	}
	barred, err := h.queue.Suspensions()
	if err != nil {
		h.n.fail(fmt.Errorf("group %d: what is suspended cannot be read: %w", h.ID(), err))
		return t, err
	}
	t.scheduler.Suspended(barred)
	t.scheduler.Start()
	h.n.log.Logf("group %d: this node is the owner (term %d)", h.ID(), term)
	h.n.reconciler.Wake()
	return t, nil
}

func (t *tenure) Number() uint64 { return t.term }

// holds reports whether this tenure lasts, and nobody else can own the queue.
func (t *tenure) holds() bool {
	return t.h.tenure.Load() == t && t.h.group.Holds(t.term) && t.h.queue.Owner()
}

func (t *tenure) Finish(ctx context.Context) error {
	t.h.tenure.CompareAndSwap(t, nil)
	t.reporter.Stop()
	return errors.Join(t.scheduler.Shutdown(ctx), t.h.queue.Stop(ctx))
}

func (t *tenure) Abandon() {
	if t.h.tenure.CompareAndSwap(t, nil) {
		linger(t)
	}
	t.h.queue.Abandon()
	t.scheduler.Abandon()
	t.reporter.Stop()
}

// Over keeps the figures.
func (t *tenure) Over() {
	h := t.h
	h.n.outgoing.end(t)
	h.figures.Lock()
	defer h.figures.Unlock()
	h.past = sumDelivery(h.past, ended(t.scheduler.Stats()))
	h.reports += t.reporter.Made()
}

// ended leaves of a scheduler's figures what stays true when it has ended: the counts.
func ended(s delivery.Stats) delivery.Stats {
	s.Connections, s.Items, s.Unsettled, s.Destinations, s.Sites, s.DeadSites = 0, 0, 0, 0, 0, 0
	for name, site := range s.BySite {
		site.Waiting = 0
		s.BySite[name] = site
	}
	return s
}

// Stop ends the part that this node takes: what is under way is finished until ctx ends, and
// another member that is up to date gets the leadership.
func (h *holding) Stop(ctx context.Context) error {
	owned, err := h.Owner.Stop(ctx)
	if !owned {
		ctx, cancel := context.WithTimeout(ctx, time.Second) // nobody waits for an answer any more
		defer cancel()
		return h.queue.Stop(ctx)
	}
	return errors.Join(err, h.n.handOver(ctx, h.group))
}

// handOver gives a group that this node leads to another voter, when there is one that is up to
// date.
func (n *node) handOver(ctx context.Context, g *cluster.Group) error {
	if g.Leading() == 0 {
		return nil
	}
	voters := g.Members().Voters
	for i := range voters {
		id := voters[(i+int(g.ID()))%len(voters)] // not all groups to the same member
		if id != n.self.Member && g.CaughtUp(id) {
			if err := g.Transfer(ctx, id); err == nil {
				return nil
			} else {
				n.log.Logf("%v", err)
			}
		}
	}
	return nil
}

// delivered are the figures of all terms.
func (h *holding) delivered() (s delivery.Stats, reports uint64) {
	h.figures.Lock()
	defer h.figures.Unlock()
	s, reports = h.past, h.reports
	if t := h.tenure.Load(); t != nil {
		s = sumDelivery(s, t.scheduler.Stats())
		reports += t.reporter.Made()
	}
	return s, reports
}

func sumDelivery(a, b delivery.Stats) delivery.Stats {
	for _, x := range []struct{ to, from *uint64 }{
		{&a.Relayed, &b.Relayed}, {&a.Delivered, &b.Delivered}, {&a.Deferred, &b.Deferred},
		{&a.Failed, &b.Failed}, {&a.Expired, &b.Expired}, {&a.Warned, &b.Warned},
		{&a.DoubleBounces, &b.DoubleBounces}, {&a.Transactions, &b.Transactions},
		{&a.Connected, &b.Connected}, {&a.ConnectFailed, &b.ConnectFailed},
	} {
		*x.to += *x.from
	}
	for l := range a.Throttled {
		a.Throttled[l] += b.Throttled[l]
	}
	a.Connections, a.Items, a.Unsettled = a.Connections+b.Connections, a.Items+b.Items,
		a.Unsettled+b.Unsettled
	a.Destinations, a.Sites, a.DeadSites = a.Destinations+b.Destinations, a.Sites+b.Sites,
		a.DeadSites+b.DeadSites
	sites := map[string]delivery.SiteStats{}
	for _, by := range []map[string]delivery.SiteStats{a.BySite, b.BySite} {
		for name, s := range by {
			t := sites[name]
			sites[name] = delivery.SiteStats{Relayed: t.Relayed + s.Relayed,
				Deferred: t.Deferred + s.Deferred, Failed: t.Failed + s.Failed,
				Throttled: t.Throttled + s.Throttled, Waiting: t.Waiting + s.Waiting}
		}
	}
	a.BySite = sites
	return a
}

var failNoOwner = smtp.Temp(451, "4.3.2", "This system is not accepting mail now, try again later")

// front takes the mail of all connections to a queue that this node owns: its home, or while that
// is led elsewhere another.
type front struct{ n *node }

func (f front) Submit(
	env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure),
) {
	h, err := f.n.accepting()
	if err != nil {
		content.Release()
		done(mail.ID{}, failNoOwner.With(err))
		return
	}
	h.queue.Submit(env, content, done)
}

var errDraining = errors.New(
	"this node is being drained, or was: it takes no mail")
var errNotHome = errors.New(
	"this node owns no queue group that takes mail: its home group is starting, or led " +
		"elsewhere, or has no majority")

// accepting returns the queue for new mail.
func (n *node) accepting() (*holding, error) {
	if why := n.out.Load(); why != nil {
		return nil, *why
	}
	if err := n.lostPushed(); err != nil {
		return nil, err
	}
	if h := n.home.Load(); h != nil && h.open() {
		return h, nil
	}
	for _, h := range n.queues.List() {
		if h.open() {
			if g, ok := n.control.Group(h.group.ID()); ok && g.State == "serving" {
				return h, nil
			}
		}
	}
	if m, ok := n.control.Member(n.self.Member); ok && m.State == control.Draining {
		return nil, errDraining
	}
	return nil, errNotHome
}

// owns reports whether this node surely owns the group.
func (h *holding) owns() bool {
	t := h.tenure.Load()
	return t != nil && h.group.Holds(t.term)
}

// open reports whether the queue takes mail here.
func (h *holding) open() bool { return h.accepts.Load() && h.owns() }

// now is the command time of the queues.
func (n *node) now() time.Time {
	if h := n.home.Load(); h != nil {
		return h.queue.Now()
	}
	return time.Now()
}

// reportSettings are those of the reporter.
func reportSettings(s delivery.Settings) report.Settings {
	return report.Settings{Expire: s.Retry.Expire}
}
