//go:build pretend_newer

package queue

import (
	"context"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/queue/machine"
)

// Note leaves a text in the group's state. Only the owner does, and only when all members know the
// command.
func (q *Queue) Note(ctx context.Context, text string) error {
	r := q.run.Load()
	if r == nil {
		return errNotOwner
	}
	ctx, cancel := r.during(ctx)
	defer cancel()
	_, err := r.propose(
		ctx,
		codec.AppendBytes(machine.AppendCommand(nil, machine.CmdNote, r.commandTime(nil)),
			[]byte(text)),
		nil,
	)
	return err
}

// Noted returns the text that was left last, as far as this member has applied.
func (q *Queue) Noted() string {
	r, err := q.read()
	if err != nil {
		return ""
	}
	v, ok, err := r.Get(machine.NoteKey)
	if err != nil || !ok || v[0] != machine.FormatVersion {
		return ""
	}
	return string(v[1:])
}
