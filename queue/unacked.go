package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// What a deposed owner had delivered and not got recorded is maybe attempted for whoever comes
// next. Often the same node comes next: the machine stood still, or the network hung, for a little
// longer than a leader is believed. It need not deliver again what it knows to have been delivered.
// That is true whoever owned the queue in between, so it is recorded before anything is attempted
// in the new term. Refusals and deferrals are forgotten: the word of another owner may be newer.

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

// recall records what this member remembers of its terms before, until ctx ends. Whoever was
// settled meanwhile stays as he is.
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
