// Package queue is the replicated queue: the state machine of messages and recipients over a group's keys (Apply), the
// front that gathers submissions into commands, and what the scheduler and the operator read and do.
// It knows no raft, no store and no socket: a Group gives it these. DESIGN.md says why it is built so.
package queue

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// Group is what a queue needs of its replicated group.
type Group interface {
	Reader
	Proposer
}

// Clock gives command time.
type Clock interface{ Now() time.Time }

// Options of a Queue. The zero value of a field means its default.
type Options struct {
	Member     uint16                          // the member's number, part of the IDs it gives
	Budget     *mail.Budget                    // octets of mail in memory; nil: fresh content is never kept in memory
	NewClock   func(floor time.Time) Clock     // default clock.NewSteady; called at Start with the newest command time
	InFlight   func(id mail.ID, r uint32) bool // whether the scheduler is attempting this recipient now, for listings; nil: never
	Proposers  int                             // accept commands under way at once; default 2
	UnknownFor time.Duration                   // how long a proposal with unknown outcome is repeated; default 60 s
	// Submissions waiting for a proposer; beyond either bound: 452 4.3.1.
	PendingBytes    int64 // default 32 MiB
	PendingMessages int   // default 10,000
	// Outcomes waiting for the settler; beyond it Settle reports false. Default 20,000.
	PendingOutcomes int
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	o.Proposers = min(cmp.Or(o.Proposers, 2), 64)
	o.UnknownFor = cmp.Or(o.UnknownFor, time.Minute)
	o.PendingBytes = cmp.Or(o.PendingBytes, 32<<20)
	o.PendingMessages = cmp.Or(o.PendingMessages, 10_000)
	o.PendingOutcomes = cmp.Or(o.PendingOutcomes, 20_000)
	if o.NewClock == nil {
		o.NewClock = func(floor time.Time) Clock { return clock.NewSteady(floor) }
	}
	if o.InFlight == nil {
		o.InFlight = func(mail.ID, uint32) bool { return false }
	}
	return o
}

// largeProposers is how many large messages are proposed at once, beside the small ones.
const largeProposers = 2

// Queue is one group's queue. Except for Apply and Committed, its methods are safe for use by several goroutines.
type Queue struct {
	opts     Options
	machine  machine // apply goroutine
	news     news    // apply goroutine
	reports  chan struct{}
	reader   atomic.Pointer[Reader]
	run      atomic.Pointer[run]
	heads    heads
	repeated atomic.Uint64 // proposals whose outcome was unknown
	late     atomic.Uint64 // messages accepted after their client was told 451
	mu       struct {
		sync.Mutex
		meta  meta // as of the last Committed
		moved [reasonsNumber]uint64
	}
}

// run is one term of this member as the owner, from Start to Stop.
type run struct {
	q        *Queue
	group    Group
	listener Listener
	clock    Clock
	ids      *mail.IDs
	session  uint64
	ctx      context.Context
	cancel   context.CancelFunc
	front    *front
	settler  *settler
	lanes    []*lane
	accepts  sync.WaitGroup // proposers
	settling sync.WaitGroup
	sweeping sync.WaitGroup
}

// New returns a queue that can apply commands. Reads work from Start on.
func New(o Options) *Queue {
	q := &Queue{opts: o.withDefaults(), reports: make(chan struct{}, 1)}
	q.news.q = q
	q.machine.events = &q.news
	return q
}

// Apply applies one command of the log. It is called on one goroutine.
func (q *Queue) Apply(w Writer, index, term uint64, data []byte, parts [][]byte) any {
	return q.machine.apply(w, index, data, parts)
}

// Committed says that the batch with all preceding Apply calls is in the store. Same goroutine as Apply.
func (q *Queue) Committed() {
	q.mu.Lock()
	q.mu.meta, q.mu.moved = q.machine.meta, q.machine.moved
	q.mu.Unlock()
	q.news.tell()
}

// Start makes this member the owner: it proposes the epoch command, repeatedly until ctx ends, and from its outcome on takes
// submissions. l hears of what is applied from then on; everything older is to be read with Domains and Due.
func (q *Queue) Start(ctx context.Context, g Group, l Listener) error {
	if q.run.Load() != nil {
		return errors.New("queue: started twice")
	}
	r := &run{
		q: q, group: g, listener: l,
		front:   newFront(q.opts.PendingBytes, q.opts.PendingMessages),
		settler: newSettler(q.opts.PendingOutcomes),
	}
	reader := Reader(g)
	q.reader.Store(&reader)
	// The clock that counts starts with the command's outcome, which says what the newest command time is.
	epoch, err := r.proposeEpoch(ctx)
	if err != nil {
		return err
	}
	floor := time.UnixMilli(epoch.time)
	r.clock, r.ids, r.session = q.opts.NewClock(floor), mail.NewIDs(q.opts.Member, floor), epoch.index
	r.ctx, r.cancel = context.WithCancel(context.Background())
	q.heads.reset()
	r.work()
	q.run.Store(r)
	q.wakeReporter() // what is due since before
	return nil
}

func (r *run) proposeEpoch(ctx context.Context) (epochResult, error) {
	data := appendCommand(nil, cmdEpoch, r.q.opts.NewClock(time.Time{}).Now().UnixMilli())
	data = binary.BigEndian.AppendUint64(data, uint64(r.q.opts.Member))
	for {
		result, err := r.propose(ctx, data, nil)
		if err == nil {
			return result.(epochResult), nil
		}
		select {
		case <-ctx.Done():
			return epochResult{}, errors.Join(errors.New("queue: cannot become the owner"), err)
		case <-time.After(repeatFirst):
		}
	}
}

// work starts the goroutines of a run. Stop ends them.
func (r *run) work() {
	for n := range r.q.opts.Proposers + largeProposers {
		l := &lane{key: laneKey{r.session, byte(n)}}
		r.lanes = append(r.lanes, l)
		if n < r.q.opts.Proposers {
			r.accepts.Go(func() { r.proposeSmall(l) })
		} else {
			r.accepts.Go(func() { r.proposeLarge(l) })
		}
	}
	r.settling.Go(r.settle)
	r.sweeping.Go(r.sweep)
}

// Stop refuses new submissions (451 4.3.2), waits until what is pending is answered and settled, and records that no attempt is under
// way: stop the scheduler first. When ctx ends before that, the rest is left as unknown.
func (q *Queue) Stop(ctx context.Context) error {
	r := q.run.Load()
	if r == nil {
		return nil
	}
	defer context.AfterFunc(ctx, r.cancel)()
	r.front.stop()
	r.accepts.Wait()
	r.settler.stop()
	r.settling.Wait()
	err := r.rest()
	r.cancel()
	r.sweeping.Wait()
	q.run.CompareAndSwap(r, nil)
	return err
}

// Now is the command time, which the scheduler shares.
func (q *Queue) Now() time.Time {
	if r := q.run.Load(); r != nil {
		return r.clock.Now()
	}
	return q.opts.NewClock(time.Time{}).Now()
}

// Submit takes a message (smtpd.Submitter). It does not block.
func (q *Queue) Submit(env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure)) {
	q.submit(submission{env: env, content: content, done: done})
}

// AcceptReport submits the report message (null reverse-path) for a due report; both happen in one batch. For a report that was
// accepted before it is a success that makes no second message.
func (q *Queue) AcceptReport(id ReportID, env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure)) {
	q.submit(submission{env: env, content: content, done: done, report: id})
}

func (q *Queue) submit(s submission) {
	fail := failStopping
	if r := q.run.Load(); r != nil {
		fail = r.front.submit(s)
	}
	if fail != nil {
		s.content.Release()
		s.done(mail.ID{}, fail)
	}
}

// Settle records outcomes. It takes them always and does not block; false says that too many are waiting: start no
// attempt before SettleRoom returned. done (may be nil) is called when they are recorded, or with an error when the queue
// was stopped before that was known.
func (q *Queue) Settle(outcomes []Outcome, done func(error)) (room bool) {
	if r := q.run.Load(); r != nil {
		return r.settler.add(outcomes, done)
	}
	if done != nil {
		done(errStopped)
	}
	return false
}

// SettleRoom waits until Settle has room again.
func (q *Queue) SettleRoom(ctx context.Context) error {
	if r := q.run.Load(); r != nil {
		return r.settler.waitRoom(ctx)
	}
	return errStopped
}

// ReportsDue gets a value when reports became due since it was last read, and once at the start.
func (q *Queue) ReportsDue() <-chan struct{} { return q.reports }
