// Package queue is the replicated queue: the state machine of messages and recipients over a
// group's keys (Apply), the front that gathers submissions into commands, and what the scheduler
// and the operator read and do. It knows no raft, no store and no socket: a Group gives it these.
// DESIGN.md says why it is built so.
package queue

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue/machine"
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
	Member uint16 // the member's number, part of the IDs it gives
	// octets of mail in memory; nil: fresh content is never kept in memory
	Budget *mail.Budget
	// default clock.NewSteady; called at Start with the newest command time
	NewClock func(floor time.Time) Clock
	// whether the scheduler is attempting this recipient now, for listings; nil: never
	InFlight func(id mail.ID, r uint32) bool
	// whether it was when an operator's latest command reached it, a moment ago; nil: never
	Caught    func(id mail.ID, r uint32) bool
	Proposers int // accept commands under way at once; default 2
	// how long a proposal with unknown outcome is repeated; default 60 s
	UnknownFor time.Duration
	// Submissions waiting for a proposer; beyond either bound: 452 4.3.1.
	PendingBytes    int64 // default 32 MiB
	PendingMessages int   // default 10,000
	// Outcomes waiting for the settler; beyond it Settle reports false. Default 20,000.
	PendingOutcomes int
	// IDs gives the messages' IDs. The queues of one node share it, so that no two of its groups
	// give the same; nil: the queue has its own.
	IDs *mail.IDs
	// Room returns why this member has no room for mail from another group; nil: it always has.
	Room func() error
	// Forward proposes at the member that leads the group now. Accept commands of unknown outcome
	// go there once this member is not the leader any more; nil: nowhere.
	Forward Proposer
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	o.Proposers = min(cmp.Or(o.Proposers, 2), 64)
	o.UnknownFor = cmp.Or(o.UnknownFor, time.Minute)
	o.PendingBytes = cmp.Or(o.PendingBytes, 32<<20)
	o.PendingMessages = cmp.Or(o.PendingMessages, 10_000)
	o.PendingOutcomes = cmp.Or(o.PendingOutcomes, 20_000)
	if o.IDs == nil {
		o.IDs = mail.NewIDs(o.Member, time.Time{})
	}
	if o.NewClock == nil {
		o.NewClock = func(floor time.Time) Clock { return clock.NewSteady(floor) }
	}
	if o.Caught == nil {
		o.Caught = func(mail.ID, uint32) bool { return false }
	}
	if o.InFlight == nil {
		o.InFlight = func(mail.ID, uint32) bool { return false }
	}
	return o
}

// Queue is one group's queue. Except for Apply and Committed, its methods are safe for use by
// several goroutines.
type Queue struct {
	opts          Options
	machine       machine.Machine // apply goroutine
	notifications notifications   // apply goroutine
	reports       atomic.Pointer[chan struct{}]
	reader        atomic.Pointer[Reader]
	run           atomic.Pointer[run]    // nil: not the owner
	starting      atomic.Bool            // a run may be set any moment
	past          atomic.Pointer[[]*run] // those that were abandoned, the latest last
	hints         scanHints
	repeated      atomic.Uint64 // proposals whose outcome was unknown
	late          atomic.Uint64 // messages accepted after their client was told 451
	refused       atomic.Uint64 // submissions that found the front full
	fenced        atomic.Uint64 // outcomes refused because another owner had come
	recalled      atomic.Uint64 // deliveries of a term before that were recorded in a new one
	unacked       unackedDeliveries
	mu            struct {
		sync.Mutex
		meta  machine.Meta // as of the last Committed
		known bool         // there was one since the rows came
		moved [machine.ReasonsNumber]uint64
	}
}

// New returns a queue that can apply commands. Reads work from Open on.
func New(o Options) *Queue {
	q := &Queue{opts: o.withDefaults()}
	q.newReports()
	q.notifications.q = q
	q.machine.Events = &q.notifications
	return q
}

// Apply applies one command of the log (cluster.StateMachine). It is called on one goroutine.
func (q *Queue) Apply(w machine.Writer, index, term uint64, data []byte, parts [][]byte) any {
	return q.machine.Apply(w, index, data, parts)
}

// Understands returns why this program cannot apply a command, if that is of a newer version or
// kind
// (cluster.Versioned).
func (*Queue) Understands(data []byte) error { return machine.Understands(data) }

// AppendResult appends the encoded form of what Apply returned. It panics on anything else.
func (*Queue) AppendResult(b []byte, result any) []byte { return machine.AppendResult(b, result) }

// ParseResult reads what AppendResult made.
func (*Queue) ParseResult(b []byte) (any, error) { return machine.ParseResult(b) }

// Committed says that the batch with all preceding Apply calls is in the store. Same goroutine as
// Apply.
func (q *Queue) Committed() {
	owner := q.notifications.owner() != nil
	q.mu.Lock()
	q.mu.meta, q.mu.known = q.machine.Meta, true
	if owner { // each move is counted by one member
		for r, n := range q.machine.Moved {
			q.mu.moved[r] += n
		}
	}
	q.mu.Unlock()
	q.machine.Moved = [machine.ReasonsNumber]uint64{}
	q.notifications.tell()
}

// Restored says that the rows were replaced as a whole by another member's. Same goroutine as
// Apply.
func (q *Queue) Restored() {
	q.machine.Loaded = false
	q.mu.Lock()
	q.mu.meta, q.mu.known = machine.Meta{}, false
	q.mu.Unlock()
	q.hints.reset()
}

// Open makes reads work, on this member whether it is the owner or not: they see what it has
// applied.
func (q *Queue) Open(r Reader) {
	if q.reader.CompareAndSwap(nil, &r) {
		q.hints.reset()
	}
}

// metaOf returns the meta row as of the last Committed.
func (q *Queue) metaOf(r Reader) (machine.Meta, error) {
	q.mu.Lock()
	m, known := q.mu.meta, q.mu.known
	q.mu.Unlock()
	if known {
		return m, nil
	}
	v, ok, err := r.Get(machine.MetaKey)
	if err != nil || !ok {
		return m, err
	}
	return machine.DecodeMeta(v)
}

// Now is the command time, which the scheduler shares.
func (q *Queue) Now() time.Time {
	if r := q.run.Load(); r != nil {
		return r.clock.Now()
	}
	return q.opts.NewClock(time.Time{}).Now()
}

// Submit takes a message (smtpd.Submitter). It does not block.
func (q *Queue) Submit(
	env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure),
) {
	q.submit(submission{env: env, content: content, done: done})
}

// AcceptReport submits the report message (null reverse-path) for a due report; both happen in one
// batch. For a report that was accepted before it is a success that makes no second message.
func (q *Queue) AcceptReport(
	id ReportID, env *mail.Envelope, content *mail.Content, done func(mail.ID, *smtp.Failure),
) {
	q.submit(submission{env: env, content: content, done: done, report: id})
}

func (q *Queue) submit(s submission) {
	fail := failStopping
	if r := q.run.Load(); r != nil {
		fail = r.front.submit(s)
	}
	if fail != nil {
		if fail == failFull {
			q.refused.Add(1)
		}
		s.content.Release()
		s.done(mail.ID{}, fail)
	}
}

// Settle records outcomes. It takes them always and does not block; false says that too many are
// waiting: start no attempt before SettleRoom returned. done (may be nil) is called when they are
// recorded, or with an error when the queue was stopped or abandoned before that was known, or
// another owner had come. Outcomes are of the term in which they are given: a scheduler of the term
// before must be at its end before the next Start.
func (q *Queue) Settle(outcomes []Outcome, done func(error)) (room bool) {
	if r := q.run.Load(); r != nil {
		return r.settler.add(outcomes, done)
	}
	q.Remember(outcomes)
	if done != nil {
		done(errStopped)
	}
	return false
}

// Remember takes outcomes of attempts of a term that has ended: those that are deliveries are
// recorded first thing in the next term of this member.
func (q *Queue) Remember(outcomes []Outcome) { q.unacked.remember(outcomes) }

// SettleRoom waits until Settle has room again.
func (q *Queue) SettleRoom(ctx context.Context) error {
	if r := q.run.Load(); r != nil {
		return r.settler.waitRoom(ctx)
	}
	return errStopped
}

// ReportsDue gets a value when reports became due since it was last read, and once at the start.
// Each term has a channel of its own.
func (q *Queue) ReportsDue() <-chan struct{} { return *q.reports.Load() }

// newReports leaves the channel that was to whoever still waits for it.
func (q *Queue) newReports() {
	c := make(chan struct{}, 1)
	q.reports.Store(&c)
}
