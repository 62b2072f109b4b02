package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/fifo"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/rows"
	"github.com/postroad/postroad/queue/machine"
)

// settleMost bounds the outcomes of one settle command, about 75 KiB, at the very most 650.
const settleMost = 512

var (
	errStopped = errors.New("queue: stopped before it was known whether the outcomes were recorded")
	errFenced  = errors.New(
		"queue: the outcomes were refused, another node owns the queue since the attempts",
	)
)

// settleLinger is how long the first outcome of a command waits for others. Nobody waits for
// outcomes as a client waits for its 250, and each command costs a sync on each member: few large
// ones leave the disks to the accepting side. It is far below the two seconds in which a crash may
// make a duplicate.
const settleLinger = 50 * time.Millisecond

// settler gathers outcomes like the front gathers submissions, and a little longer. One command is
// under way at a time: outcomes of a recipient must not overtake each other.
type settler struct {
	most int
	lost func([]Outcome) // told of what is not recorded
	full chan struct{}   // there is a command's worth, or the end has come
	mu   struct {
		sync.Mutex
		outcomes fifo.Queue[Outcome]
		calls    fifo.Queue[settleCall]
		together map[mail.ID]*together
		waiting  int // outcomes in together
		stopped  bool
	}
	work, room sync.Cond
	batch      []Outcome // owned by the settler goroutine
	called     []func(error)
}

type settleCall struct {
	left int
	done func(error)
}

func newSettler(most int, lost func([]Outcome)) *settler {
	s := &settler{most: most, lost: lost, full: make(chan struct{}, 1)}
	s.work.L, s.room.L = &s.mu, &s.mu
	s.mu.together = map[mail.ID]*together{}
	return s
}

// add takes outcomes and reports whether there is room for more.
func (s *settler) add(outcomes []Outcome, done func(error)) bool {
	checkOutcomes(outcomes)
	s.mu.Lock()
	if s.mu.stopped {
		s.mu.Unlock()
		s.lost(outcomes)
		if done != nil {
			done(errStopped)
		}
		return false
	}
	defer s.mu.Unlock()
	for i := range outcomes {
		s.mu.outcomes.Push(outcomes[i])
	}
	s.mu.calls.Push(settleCall{len(outcomes), done})
	s.work.Signal()
	if s.mu.outcomes.Len() >= settleMost {
		s.hurry()
	}
	return s.mu.outcomes.Len() < s.most
}

func checkOutcomes(outcomes []Outcome) {
	for i := range outcomes {
		if !outcomes[i].State.Outcome() {
			panic(fmt.Sprintf("queue: %v is no outcome", outcomes[i].State))
		}
	}
}

// settled waits until the outcomes that were decided before it are recorded.
func (s *settler) settled(ctx context.Context) error {
	done := make(chan error, 1)
	s.mu.Lock()
	s.gatherAll()
	s.mu.Unlock()
	s.add(nil, func(err error) { done <- err })
	s.hurry()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hurry ends the linger.
func (s *settler) hurry() {
	select {
	case s.full <- struct{}{}:
	default:
	}
}

// linger waits a moment for a command's worth of outcomes. Called with the lock held, which it
// gives back meanwhile.
func (s *settler) linger() {
	if s.mu.stopped || s.mu.outcomes.Len() >= settleMost {
		return
	}
	s.mu.Unlock()
	timer := time.NewTimer(settleLinger)
	select {
	case <-timer.C:
	case <-s.full:
		timer.Stop()
	}
	s.mu.Lock()
}

// waitRoom waits until there is room.
func (s *settler) waitRoom(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.room.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.mu.outcomes.Len() >= s.most && ctx.Err() == nil {
		s.room.Wait()
	}
	return ctx.Err()
}

// take waits for outcomes and takes a command's worth; false when stopped and empty.
func (s *settler) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room.Broadcast()
	for s.mu.calls.Len() == 0 && !s.mu.stopped {
		s.work.Wait()
	}
	if s.mu.calls.Len() == 0 {
		return false
	}
	s.linger()
	s.batch, s.called = s.batch[:0], s.called[:0]
	for s.mu.outcomes.Len() > 0 && len(s.batch) < settleMost {
		s.batch = append(s.batch, s.mu.outcomes.Pop())
	}
	for n := len(s.batch); s.mu.calls.Len() > 0; {
		call := s.mu.calls.First()
		if call.left > n {
			call.left -= n
			break
		}
		n -= call.left
		if done := s.mu.calls.Pop().done; done != nil {
			s.called = append(s.called, done)
		}
	}
	return true
}

func (s *settler) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.stopped = true
	s.gatherAll()
	s.work.Broadcast()
	s.hurry()
}

// drop ends the settler without recording what waits.
func (s *settler) drop() {
	s.stop()
	s.mu.Lock()
	var lost []Outcome
	for s.mu.outcomes.Len() > 0 {
		lost = append(lost, s.mu.outcomes.Pop())
	}
	calls := s.mu.calls
	s.mu.outcomes, s.mu.calls = fifo.Queue[Outcome]{}, fifo.Queue[settleCall]{}
	s.room.Broadcast()
	s.mu.Unlock()
	s.lost(lost)
	for calls.Len() > 0 {
		if done := calls.Pop().done; done != nil {
			done(errStopped)
		}
	}
}

// settle records what comes, for ever. A lost outcome would be a second delivery, so it is repeated
// until it is known, or the run ends.
func (r *run) settle() {
	s := r.settler
	for s.take() {
		err := r.settleBatch(s.batch)
		if err != nil {
			s.lost(s.batch)
		}
		for _, done := range s.called {
			done(err)
		}
	}
}

func (r *run) settleBatch(outcomes []Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	slices.SortStableFunc(
		outcomes,
		func(a, b Outcome) int { return bytes.Compare(a.ID[:], b.ID[:]) },
	)
	data := make([]byte, 0, 32+160*len(outcomes))
	data = machine.AppendSettle(
		machine.AppendCommand(data, machine.CmdSettle, r.commandTime(nil)),
		r.session,
		len(outcomes),
	)
	for i := range outcomes {
		data = machine.AppendOutcome(data, &outcomes[i])
	}
	for {
		result, err := r.propose(r.ctx, data, nil)
		if err == nil && result.(machine.SettleResult).Ok {
			return nil
		}
		if err == nil {
			r.q.fenced.Add(uint64(len(outcomes)))
			return errFenced
		}
		select {
		case <-r.ctx.Done():
			return fmt.Errorf("%w: %w", errStopped, err)
		case <-time.After(rows.MostPause): // refused: the owner may change back to us
		}
	}
}
