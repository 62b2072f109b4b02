package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// holding is this node's member of one queue group: the applied queue, and while the node owns the group what delivers its mail.
type holding struct {
	n       *node
	group   *cluster.Group
	queue   *queue.Queue
	tenure  atomic.Pointer[tenure]
	accepts atomic.Bool // mail may come: as many members as there should be have been seen at some time
	terms   chan uint64 // from raft; the newest counts
	yields  chan yielding
	obeying sync.Mutex // one take-over of the suspensions at a time
	mu      sync.Mutex
	cancel  context.CancelFunc // ends the start of the present term
	past    delivery.Stats     // of terms that have ended
	reports uint64
	work    sync.WaitGroup
	ended   context.Context
	end     context.CancelFunc
}

// tenure is one term of ownership.
type tenure struct {
	term      uint64
	scheduler *delivery.Scheduler
	reporter  *delivery.Reporter
}

// hold makes this node take part in a queue group. With first it is the group's first member.
func (n *node) hold(id uint64, first bool) (*holding, error) {
	h := &holding{n: n, group: n.store.Group(id), terms: make(chan uint64, 1), yields: make(chan yielding)}
	h.ended, h.end = context.WithCancel(context.Background())
	h.queue = queue.New(queue.Options{
		Member: n.self.Member, Budget: n.budget, IDs: n.ids, Forward: anywhere{h.group},
		InFlight: func(id mail.ID, recipient uint32) bool {
			t := h.tenure.Load()
			return t != nil && t.scheduler.InFlight(id, recipient)
		},
	})
	h.queue.Open(h.group)
	h.group.OnTransfer(h.yield)
	h.work.Go(h.follow)
	begin := h.group.Join
	if first {
		begin = h.group.Start
	}
	if err := begin(queueMachine{h.queue}, h.led); err != nil {
		h.end()
		return nil, err
	}
	return h, nil
}

// led hears of changes of leadership, and must not block.
func (h *holding) led(term uint64) {
	h.mu.Lock()
	if h.cancel != nil {
		h.cancel()
	}
	h.mu.Unlock()
	for {
		select {
		case h.terms <- term:
			return
		default:
		}
		select {
		case <-h.terms:
		default:
		}
	}
}

// follow begins and ends tenures, one after the other.
func (h *holding) follow() {
	for {
		select {
		case term := <-h.terms:
			h.abandon()
			if term != 0 {
				if err := h.begin(term); err != nil && h.ended.Err() == nil {
					h.n.log.Errorf("group %d: %v", h.group.ID(), err)
				}
			}
		case y := <-h.yields:
			y.done <- h.rest(y.ctx)
		case <-h.ended.Done():
			return
		}
	}
}

// yielding asks for the end of the tenure in good order.
type yielding struct {
	ctx  context.Context
	done chan error
}

// renewTime bounds how long what is under way is waited for when a tenure is given away.
const renewTime = 10 * time.Second

// yield ends the tenure before the leadership goes elsewhere, so that nothing is under way that the next owner would have to repeat.
func (h *holding) yield(ctx context.Context) error {
	y := yielding{ctx, make(chan error, 1)}
	select {
	case h.yields <- y:
		return <-y.done
	case <-h.ended.Done():
		return nil // it has ended already
	}
}

// rest ends the tenure in good order, or goes on with it if that takes too long.
func (h *holding) rest(ctx context.Context) error {
	t := h.tenure.Swap(nil)
	if t == nil {
		return nil
	}
	err := h.windUp(ctx, t, renewTime)
	if err == nil {
		return nil
	}
	return errors.Join(err, h.begin(t.term))
}

var errLostMeanwhile = errors.New("the group was lost before all was finished")

// windUp ends a tenure in good order: what is under way is finished, for so long. If the tenure is lost meanwhile, it ends as one that was lost.
func (h *holding) windUp(ctx context.Context, t *tenure, limit time.Duration) error {
	lost, lose := context.WithCancel(context.Background())
	defer lose()
	h.mu.Lock()
	h.cancel = lose
	h.mu.Unlock()
	if h.group.Leading() != t.term {
		lose() // before that was set
	}
	t.reporter.Stop()
	defer h.count(t)
	finished := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		finished <- errors.Join(t.scheduler.Shutdown(ctx), h.queue.Stop(ctx))
	}()
	select {
	case err := <-finished:
		return err
	case <-lost.Done():
		h.queue.Abandon()
		t.scheduler.Abandon()
		return errLostMeanwhile
	}
}

// begin makes this node the owner: from now on it takes the group's mail and delivers it.
func (h *holding) begin(term uint64) error {
	ctx, cancel := context.WithCancel(h.ended)
	h.mu.Lock()
	h.cancel = cancel
	h.mu.Unlock()
	defer cancel()
	if h.group.Leading() != term {
		return nil // the next term comes
	}
	o, err := h.n.deliveryOptions(h, term)
	if err != nil {
		return err
	}
	t := &tenure{term: term}
	q := delivery.FromQueue(h.queue)
	if t.scheduler, err = delivery.New(o, q, newLocalResolver(h.n.resolver, h.n.cfg.Local.Domains), delivery.DialSMTP); err != nil {
		return err
	}
	t.reporter = delivery.NewReporter(o, q)
	h.tenure.Store(t)
	if err := h.queue.Start(ctx, queueGroup{h.group}, announcer{t.scheduler, h.n.log}); err != nil {
		h.tenure.Store(nil)
		return errors.Join(err, t.scheduler.Shutdown(ctx))
	}
	t.reporter.Start()
	if h.learn(ctx) != nil {
		return nil // the term has ended: what comes next abandons it
	}
	barred, err := h.queue.Suspensions()
	if err != nil {
		h.n.fail(fmt.Errorf("group %d: what is suspended cannot be read: %w", h.group.ID(), err))
		return err
	}
	t.scheduler.Suspended(barred)
	t.scheduler.Start()
	h.n.log.Logf("group %d: this node is the owner (term %d)", h.group.ID(), term)
	h.n.governor.wake()
	return nil
}

// abandon ends a tenure that was lost: nothing more is settled.
func (h *holding) abandon() {
	t := h.tenure.Swap(nil)
	if t == nil {
		return
	}
	h.n.log.Logf("group %d: this node is not the owner any more (term %d)", h.group.ID(), t.term)
	linger(t)
	h.queue.Abandon()
	t.scheduler.Abandon()
	t.reporter.Stop()
	h.count(t)
}

// stop ends the part that this node takes: what is under way is finished until ctx ends, and another member that is up to date gets
// the leadership.
func (h *holding) stop(ctx context.Context) error {
	h.end()
	h.mu.Lock()
	if h.cancel != nil {
		h.cancel()
	}
	h.mu.Unlock()
	h.work.Wait()
	t := h.tenure.Swap(nil)
	if t == nil {
		ctx, cancel := context.WithTimeout(ctx, time.Second) // nobody waits for an answer any more
		defer cancel()
		return h.queue.Stop(ctx)
	}
	err := h.windUp(ctx, t, stopTimeout)
	if errors.Is(err, errLostMeanwhile) {
		h.n.log.Logf("group %d: %v", h.group.ID(), err)
		return nil
	}
	return errors.Join(err, h.n.handOver(ctx, h.group))
}

// handOver gives a group that this node leads to another voter, when there is one that is up to date.
func (n *node) handOver(ctx context.Context, g *cluster.Group) error {
	if g.Leading() == 0 {
		return nil
	}
	for _, id := range g.Members().Voters {
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

// count keeps the figures of a tenure that has ended.
func (h *holding) count(t *tenure) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := t.scheduler.Stats()
	s.Connections, s.Items, s.Unsettled, s.Destinations, s.Sites, s.DeadSites = 0, 0, 0, 0, 0, 0
	h.past = sumDelivery(h.past, s)
	h.reports += t.reporter.Made()
}

// delivered are the figures of all terms.
func (h *holding) delivered() (s delivery.Stats, reports uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, reports = h.past, h.reports
	if t := h.tenure.Load(); t != nil {
		s = sumDelivery(s, t.scheduler.Stats())
		reports += t.reporter.Made()
	}
	return s, reports
}

func sumDelivery(a, b delivery.Stats) delivery.Stats {
	for _, x := range []struct{ to, from *uint64 }{
		{&a.Relayed, &b.Relayed}, {&a.Deferred, &b.Deferred}, {&a.Failed, &b.Failed}, {&a.Expired, &b.Expired}, {&a.Warned, &b.Warned},
		{&a.DoubleBounces, &b.DoubleBounces}, {&a.Transactions, &b.Transactions}, {&a.Connected, &b.Connected}, {&a.ConnectFailed, &b.ConnectFailed},
	} {
		*x.to += *x.from
	}
	a.Connections, a.Items, a.Unsettled = a.Connections+b.Connections, a.Items+b.Items, a.Unsettled+b.Unsettled
	a.Destinations, a.Sites, a.DeadSites = a.Destinations+b.Destinations, a.Sites+b.Sites, a.DeadSites+b.DeadSites
	sites := map[string]delivery.SiteStats{}
	for _, by := range []map[string]delivery.SiteStats{a.BySite, b.BySite} {
		for name, s := range by {
			t := sites[name]
			sites[name] = delivery.SiteStats{Relayed: t.Relayed + s.Relayed, Deferred: t.Deferred + s.Deferred, Failed: t.Failed + s.Failed}
		}
	}
	a.BySite = sites
	return a
}

// holdings are the queue groups in which this node takes part.
type holdings struct {
	mu  sync.Mutex
	all []*holding // by number
}

func (hs *holdings) add(h *holding) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.all = append(slices.Clone(hs.all), h)
	slices.SortFunc(hs.all, func(a, b *holding) int { return cmp.Compare(a.group.ID(), b.group.ID()) })
}

func (hs *holdings) remove(h *holding) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.all = slices.DeleteFunc(slices.Clone(hs.all), func(o *holding) bool { return o == h })
}

// list returns the holdings; the slice does not change.
func (hs *holdings) list() []*holding {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.all
}

func (hs *holdings) get(id uint64) *holding {
	for _, h := range hs.list() {
		if h.group.ID() == id {
			return h
		}
	}
	return nil
}

// stop ends all at once.
func (hs *holdings) stop(ctx context.Context) error {
	var all sync.WaitGroup
	list := hs.list()
	errs := make([]error, len(list))
	for i, h := range list {
		all.Go(func() { errs[i] = h.stop(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

var failNoOwner = smtp.Temp(451, "4.3.2", "This system is not accepting mail now, try again later")

// front takes the mail of all connections to a queue that this node owns: its home, or while that is led elsewhere another.
type front struct{ n *node }

func (f front) Submit(env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure)) {
	h, err := f.n.accepting()
	if err != nil {
		content.Release()
		done(mail.ID{}, failNoOwner.With(err))
		return
	}
	h.queue.Submit(env, content, done)
}

var errDraining = errors.New("this node is being drained, or was: it takes no mail; `postroad cluster status` tells")
var errNotHome = errors.New("this node owns no queue group that takes mail: its home group is starting, or led elsewhere, or has no majority")

// accepting returns the queue for new mail.
func (n *node) accepting() (*holding, error) {
	if why := n.out.Load(); why != nil {
		return nil, *why
	}
	if h := n.home.Load(); h != nil && h.open() {
		return h, nil
	}
	for _, h := range n.queues.list() {
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

// open reports whether the queue takes mail here.
func (h *holding) open() bool {
	t := h.tenure.Load()
	return t != nil && h.accepts.Load() && h.group.Holds(t.term)
}

// now is the command time of the queues.
func (n *node) now() time.Time {
	if h := n.home.Load(); h != nil {
		return h.queue.Now()
	}
	return time.Now()
}
