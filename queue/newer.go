//go:build pretend_newer

package queue

import (
	"context"

	"github.com/postroad/postroad/internal/codec"
)

// This build pretends to be newer than it is: it knows one command more, cmdNote, which writes a
// row of a kind that others do not know. It shows that versions can run side by side
// (cluster/DESIGN.md).

const (
	cmdNote       = cmdEnd
	newestCommand = cmdEnd + 1
)

// newer has what cmdNote has.
type newer struct{ note []byte }

var noteKey = []byte{'N'}

func (c *command) decodeNewer(d *decoder) bool {
	if c.kind != cmdNote {
		return false
	}
	c.newer.note = d.Bytes()
	return true
}

func (m *machine) applyNewer() any {
	m.w.Set(noteKey, append([]byte{formatVersion}, m.cmd.newer.note...))
	return nil
}

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
		codec.AppendBytes(appendCommand(nil, cmdNote, r.commandTime(nil)), []byte(text)),
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
	v, ok, err := r.Get(noteKey)
	if err != nil || !ok || v[0] != formatVersion {
		return ""
	}
	return string(v[1:])
}
