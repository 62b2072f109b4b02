package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/rows"
	"github.com/postroad/postroad/queue/machine"
)

// run is one term of this member as the owner, from Start to Stop or Abandon.
type run struct {
	q        *Queue
	group    Group
	listener Listener
	clock    Clock
	session  uint64          // index of the epoch command
	ctx      context.Context // ends with the term: outcomes, verbs, sweeps
	cancel   context.CancelFunc
	// ends when no client waits any more: accept commands, which outlive the term
	answers   context.Context
	giveUp    context.CancelFunc
	front     *front
	settler   *settler
	slots     []*slot
	accepting sync.WaitGroup // proposers
	settling  sync.WaitGroup
	sweeping  sync.WaitGroup
	ended     chan struct{} // closed when an abandoned run has no goroutine left
}

// Start makes this member, which leads the group, the owner: it proposes the epoch command,
// repeatedly until ctx ends, and from its outcome on takes submissions. l hears of what is applied
// from then on; everything older is to be read with Domains and Due. After Stop or Abandon it may
// be called again. Calls of Start, Stop and Abandon come one after the other, except that Abandon
// may cut a Stop short.
func (q *Queue) Start(ctx context.Context, g Group, l Listener) error {
	if q.run.Load() != nil {
		return errors.New("queue: started twice")
	}
	q.Open(g)
	r := &run{
		q: q, group: g, listener: l, ended: make(chan struct{}),
		front:   newFront(q.opts.PendingBytes, q.opts.PendingMessages),
		settler: newSettler(q.opts.PendingOutcomes, q.unacked.remember),
	}
	q.starting.Store(true)
	defer q.starting.Store(false)
	// The clock that counts starts with the command's outcome, which says what the newest command
	// time is.
	epoch, err := r.proposeEpoch(ctx)
	if err != nil {
		return fmt.Errorf("queue: cannot become the owner: %w", err)
	}
	floor := time.UnixMilli(epoch.Time)
	r.clock, r.session = q.opts.NewClock(floor), epoch.Index
	q.opts.IDs.Next(
		floor.Add(time.Millisecond),
	) // those that follow are above all that the state has seen
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.answers, r.giveUp = context.WithCancel(context.Background())
	if err := r.recall(ctx); err != nil {
		r.cancel()
		r.giveUp()
		return err
	}
	r.work()
	q.run.Store(r)
	q.wakeReporter() // what is due since before
	return nil
}

var errOvertaken = errors.New("another epoch came first")

// proposeEpoch proposes until an epoch is this run's. A command names the epoch that it follows, so
// that one which comes late, or a second time, ends nobody's term.
func (r *run) proposeEpoch(ctx context.Context) (machine.EpochResult, error) {
	now := r.q.opts.NewClock(time.Time{}).Now().UnixMilli()
	for {
		m, err := r.q.metaOf(r.group)
		if err != nil {
			return machine.EpochResult{}, err
		}
		data := machine.AppendEpoch(machine.AppendCommand(nil, machine.CmdEpoch, now),
			r.q.opts.Member, m.Epoch)
		result, err := r.propose(ctx, data, nil)
		if err == nil {
			if epoch := result.(machine.EpochResult); epoch.Index != 0 {
				return epoch, nil
			}
			err = errOvertaken
		}
		select {
		case <-ctx.Done():
			return machine.EpochResult{}, errors.Join(err, ctx.Err())
		case <-time.After(rows.FirstPause):
		}
	}
}

// work starts the goroutines of a run. Stop and Abandon end them.
func (r *run) work() {
	for n := range r.q.opts.Proposers + largeProposers {
		l := &slot{key: machine.SlotKey{Session: r.session, Slot: byte(n)}}
		r.slots = append(r.slots, l)
		if n < r.q.opts.Proposers {
			r.accepting.Go(func() { r.proposeSmall(l) })
		} else {
			r.accepting.Go(func() { r.proposeLarge(l) })
		}
	}
	r.settling.Go(r.settle)
	r.sweeping.Go(r.sweep)
}

// Owner reports whether this member is the owner, as far as it has heard.
func (q *Queue) Owner() bool {
	r := q.run.Load()
	if r == nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.meta.Epoch <= r.session
}

// Stop refuses new submissions (451 4.3.2), waits until what is pending is answered and settled,
// and records that no attempt is under way: stop the scheduler first. It waits for the clients of
// abandoned terms too. When ctx ends before that, the rest is left as unknown.
func (q *Queue) Stop(ctx context.Context) error {
	r := q.run.Load()
	if r == nil {
		q.waitPast(ctx)
		return nil
	}
	defer context.AfterFunc(ctx, func() { r.cancel(); r.giveUp() })()
	r.front.stop()
	r.accepting.Wait()
	r.settler.stop()
	r.settling.Wait()
	err := r.markIdle()
	r.cancel()
	r.giveUp()
	r.sweeping.Wait()
	if q.run.CompareAndSwap(r, nil) {
		q.newReports()
	}
	q.waitPast(ctx)
	return err
}
