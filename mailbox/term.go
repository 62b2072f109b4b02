package mailbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/rows"
)

// run is one term of this member as the owner, from Start to Stop or Abandon.
type run struct {
	s        *Store
	group    Group
	listener Listener
	clock    Clock
	session  uint64          // index of the epoch command
	ctx      context.Context // ends with the term
	cancel   context.CancelFunc
	front    *front
	uploads  uint64     // given by the proposer of large contents
	slots    chan *slot // free ones, of verbs
	locks    locks
	purge    chan struct{} // something was deleted
	working  sync.WaitGroup
	sweeping sync.WaitGroup

	sweepLock sync.Mutex // held by who sweeps
}

// Start makes this member, which leads the group, the owner: it proposes the epoch command,
// repeatedly until ctx ends, and from its outcome on takes deliveries and verbs. l hears of what is
// applied from then on. After Stop or Abandon it may be called again. Calls of Start, Stop and
// Abandon come one after the other, except that Abandon may cut a Stop short.
func (s *Store) Start(ctx context.Context, g Group, l Listener) error {
	if s.run.Load() != nil {
		return errors.New("mailbox: started twice")
	}
	s.Open(g)
	r := &run{
		s:        s,
		group:    g,
		listener: l,
		front:    newFront(&s.opts),
		slots:    make(chan *slot, s.opts.Verbs),
		purge:    make(chan struct{}, 1),
	}
	epoch, err := r.proposeEpoch(ctx)
	if err != nil {
		return fmt.Errorf("mailbox: cannot become the owner: %w", err)
	}
	r.clock, r.session = s.opts.NewClock(time.UnixMilli(epoch.time)), epoch.index
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.locks.init(r)
	r.work()
	s.run.Store(r)
	r.wakePurge() // what an owner before this one left
	return nil
}

var errOvertaken = errors.New("another epoch came first")

// proposeEpoch proposes until an epoch is this run's. A command names the epoch that it follows, so
// that one which comes late, or a second time, ends nobody's term.
func (r *run) proposeEpoch(ctx context.Context) (epochResult, error) {
	now := r.s.opts.NewClock(time.Time{}).Now().UnixMilli()
	for {
		m, err := r.s.metaOf(r.group)
		if err != nil {
			return epochResult{}, err
		}
		result, err := r.propose(
			ctx,
			appendCommand(nil, cmdEpoch, now, sender{session: m.epoch}),
			nil,
		)
		if err == nil {
			if epoch := result.(epochResult); epoch.index != 0 {
				return epoch, nil
			}
			err = errOvertaken
		}
		select {
		case <-ctx.Done():
			return epochResult{}, errors.Join(err, ctx.Err())
		case <-time.After(rows.FirstPause):
		}
	}
}

// work starts the goroutines of a run. Stop and Abandon end them.
func (r *run) work() {
	n := byte(0)
	next := func() *slot { n++; return &slot{number: n} }
	for range r.s.opts.Proposers {
		l := next()
		r.working.Go(func() { r.proposeSmall(l) })
	}
	large := next()
	r.working.Go(func() { r.proposeLarge(large) })
	for range r.s.opts.Verbs {
		r.slots <- next()
	}
	r.sweeping.Go(r.sweep)
}

// Owner reports whether this member is the owner, as far as it has heard.
func (s *Store) Owner() bool {
	r := s.run.Load()
	if r == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.meta.epoch <= r.session
}

// Append takes a delivery; it does not block. done is called once, with a result for each item, or
// with an error: ErrUnknown when the items may have been stored (try again under the same keys),
// else nothing happened and nothing will. d must not be changed before that.
func (s *Store) Append(d *Delivery, done func([]Result, error)) {
	u := delivery{Delivery: d, done: done}
	err := s.check(&u)
	if err == nil {
		err = errNotOwner
		if r := s.run.Load(); r != nil {
			err = r.front.add(u)
		}
	}
	if err != nil {
		if errors.Is(err, ErrBusy) {
			s.refused.Add(1)
		}
		done(nil, err)
	}
}

// DropDedupRecords drops dedup records: the queue has settled these recipients, for good. It does
// not block, and may be lost with the term: what is left for long is listed by DedupRecords.
func (s *Store) DropDedupRecords(records []DedupRecord) error {
	if r := s.run.Load(); r != nil {
		return r.front.dropDedup(records)
	}
	return errNotOwner
}

// Stop refuses new work and waits until what is pending is answered. When ctx ends before that, the
// rest is left as unknown.
func (s *Store) Stop(ctx context.Context) {
	r := s.run.Load()
	if r == nil {
		return
	}
	defer context.AfterFunc(ctx, r.cancel)()
	r.front.stop()
	r.working.Wait()
	for range cap(r.slots) { // verbs
		select {
		case <-r.slots:
		case <-r.ctx.Done():
		}
	}
	r.cancel()
	r.sweeping.Wait()
	s.run.CompareAndSwap(r, nil)
}

// Abandon ends the term of a member that was deposed. It does not wait: what was not proposed yet
// is refused, what was is unknown, and the locks are lost.
func (s *Store) Abandon() {
	r := s.run.Swap(nil)
	if r == nil {
		return
	}
	r.cancel()
	for _, d := range r.front.drop() {
		d.done(nil, errNotOwner)
	}
}
