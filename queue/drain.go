package queue

import (
	"context"

	"github.com/postroad/postroad/queue/machine"
)

// Left returns how many messages are in the queue, those that only wait for their reports included,
// and how many reports are due, as of what this member has applied.
func (q *Queue) Left() (messages, reports uint64, err error) {
	r, err := q.read()
	if err != nil {
		return 0, 0, err
	}
	m, err := q.metaOf(r)
	return m.Counters[machine.CountMessages], m.Counters[machine.CountReports], err
}

// Empty reports whether this member is the owner and nothing is left or under way. It is cheap. An
// accept command of unknown outcome may still come from an owner of the past: only Seal is final.
func (q *Queue) Empty() bool {
	r := q.run.Load()
	if r == nil || !q.Owner() {
		return false
	}
	m, err := q.metaOf(r.group) // a message stays as long as a report on it is due
	if err != nil || m.Counters[machine.CountMessages] > 0 || m.Incoming > 0 || !r.idle() {
		return false
	}
	h, err := readHandover(r.group)
	return err == nil && h.Phase == machine.HandoverIdle
}

// idle reports whether no submission waits or is under way.
func (r *run) idle() bool {
	r.front.mu.Lock()
	waiting := r.front.mu.small.Len() + r.front.mu.large.Len() + r.front.mu.taken
	r.front.mu.Unlock()
	return waiting == 0
}

// Seal closes an empty queue for good: whatever accept command comes later is refused, so that its
// group may go. ok is false when the queue is not empty, and then nothing has changed. The owner
// only (else ErrRefused).
func (q *Queue) Seal(ctx context.Context) (ok bool, err error) {
	r := q.run.Load()
	if r == nil {
		return false, errNotOwner
	}
	ctx, cancel := r.during(ctx)
	defer cancel()
	result, err := r.propose(ctx, machine.AppendCommand(nil, machine.CmdSeal, r.commandTime(nil)),
		nil)
	return err == nil && result.(machine.SealResult).Ok, err
}
