package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// A deposed owner has deliveries that it did not get recorded: unacked deliveries. The next owner
// takes their recipients for maybe attempted. Often the same node is the next owner: the machine
// stood still, or the network hung, for a little longer than a leader is believed. It need not
// deliver again what it knows to have been delivered. A delivery stays true whoever owned the queue
// in between, so it is recorded before anything is attempted in the new term. Refusals and
// deferrals are dropped: another owner's outcome may be newer.

// unackedMost bounds what is remembered, in outcomes. The rest is delivered again.
const unackedMost = 8 * settleMost

type unackedDeliveries struct {
	mu       sync.Mutex
	outcomes []Outcome
}

// remember keeps those of the outcomes that are deliveries.
func (u *unackedDeliveries) remember(outcomes []Outcome) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range outcomes {
		switch outcomes[i].State {
		case Delivered, Relayed, Expanded:
			if len(u.outcomes) < unackedMost {
				u.outcomes = append(u.outcomes, outcomes[i])
			}
		}
	}
}

func (u *unackedDeliveries) take() []Outcome {
	u.mu.Lock()
	defer u.mu.Unlock()
	outcomes := u.outcomes
	u.outcomes = nil
	return outcomes
}

// recall records what this member remembers of its terms before, until ctx ends. Recipients
// settled meanwhile stay as they are.
func (r *run) recall(ctx context.Context) error {
	if past := r.q.past.Load(); past != nil {
		for _, p := range *past {
			p.settling.Wait() // its context has ended
		}
	}
	outcomes := r.q.unacked.take()
	if len(outcomes) == 0 {
		return nil
	}
	stop := context.AfterFunc(ctx, r.cancel)
	defer stop()
	for batch := range slices.Chunk(outcomes, settleMost) {
		if err := r.settleBatch(batch); err != nil {
			r.q.unacked.remember(outcomes)
			return fmt.Errorf("queue: recording what was delivered before: %w", err)
		}
	}
	if !stop() {
		return fmt.Errorf("queue: cannot become the owner: %w", ctx.Err())
	}
	r.q.recalled.Add(uint64(len(outcomes)))
	return nil
}
