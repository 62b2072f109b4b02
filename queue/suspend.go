package queue

import (
	"context"
	"fmt"

	"github.com/postroad/postroad/queue/machine"
)

// maxSuspensions bounds a command that Suspend proposes: with the longest names and reasons it is
// half a MiB.
const maxSuspensions = 1000

// Suspend replaces what is suspended, in the log: when it returns without an error the listener has
// heard of it. A version that is not above the one that the queue has changes nothing. It returns
// what the queue has then, without the list. The owner only (else ErrRefused).
func (q *Queue) Suspend(
	ctx context.Context, version uint64, all []Suspension,
) (now Suspensions, err error) {
	r := q.run.Load()
	if r == nil {
		return now, errNotOwner
	}
	if len(all) > maxSuspensions {
		return now, fmt.Errorf("%d suspensions are more than a queue takes", len(all))
	}
	ctx, cancel := r.during(ctx)
	defer cancel()
	data := machine.AppendCommand(nil, machine.CmdSuspend, r.commandTime(nil))
	result, err := r.propose(ctx, machine.AppendSuspensions(data, version, all), nil)
	if err != nil {
		return now, fmt.Errorf("propose suspensions: %w", err)
	}
	got := result.(machine.SuspendResult)
	return Suspensions{Version: got.Version, Index: got.Index}, nil
}

// Suspensions returns what this member has applied.
func (q *Queue) Suspensions() (s Suspensions, err error) {
	r, err := q.read()
	if err != nil {
		return s, err
	}
	v, ok, err := r.Get(machine.SuspendKey)
	if err != nil || !ok {
		return s, err
	}
	return machine.DecodeSuspendRow(v)
}
