package queue

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

var errNotForwarded = errors.New(
	"only accept commands, and letters of a group that is drained, may come from another member",
)

// CheckForwarded looks at a command that another member sent, before it is proposed here: what
// enters the log must be applicable on all members, and outcomes and epochs are the leader's own.
func (q *Queue) CheckForwarded(data []byte, parts [][]byte) error {
	if err := q.RoomFor(data); err != nil {
		return err
	}
	return checkForwarded(data, parts)
}

// RoomFor refuses a command that brings messages from another group when this member is short of
// room (Options.Room).
func (q *Queue) RoomFor(data []byte) error {
	if q.opts.Room == nil || !bringsMail(data) {
		return nil
	}
	return q.opts.Room()
}

func checkForwarded(data []byte, parts [][]byte) error {
	var c machine.Command
	if err := c.Decode(data); err != nil {
		return fmt.Errorf("forwarded command: %w", err)
	}
	switch c.Kind {
	case machine.CmdAccept:
		return checkAccept(&c, parts)
	case machine.CmdChunk:
		if len(parts) != 1 || len(parts[0]) > machine.PartSize {
			return fmt.Errorf("forwarded chunk: %w", machine.ErrCorrupt)
		}
		return nil
	case machine.CmdBring:
		if len(parts) != 1 || len(parts[0]) > machine.PartSize {
			return fmt.Errorf("chunk from another group: %w", machine.ErrCorrupt)
		}
		return nil
	case machine.CmdTake:
		if err := checkTake(&c, parts); err != nil {
			return fmt.Errorf("letters from another group: %w", err)
		}
		return nil
	case machine.CmdFinish:
		return nil
	}
	return errNotForwarded
}

// bringsMail reports whether a command brings messages from another group.
func bringsMail(data []byte) bool {
	return len(data) > 1 && (machine.CommandType(data[1]) == machine.CmdTake ||
		machine.CommandType(data[1]) == machine.CmdBring)
}

// checkAccept refuses what applyAccept would panic at, or what no front lets through.
func checkAccept(c *machine.Command, parts [][]byte) error {
	var m machine.Machine
	for i, part := 0, 0; i < len(c.Accept); i++ {
		e := &c.Accept[i]
		if e.Chunks == 0 {
			if part = m.GatherParts(e, parts, part); part < 0 {
				return fmt.Errorf(
					"forwarded message %v has not the content it says: %w",
					e.ID,
					machine.ErrCorrupt,
				)
			}
		}
		if err := checkEnvelope(e.Envelope); err != nil {
			return fmt.Errorf("forwarded message %v: envelope: %w", e.ID, err)
		}
	}
	return nil
}

// checkTake refuses of letters from another member what Apply would panic at, or what no front lets
// through.
func checkTake(c *machine.Command, parts [][]byte) error {
	var m machine.Machine
	part := 0
	for i := range c.Handover.Letters {
		l := &c.Handover.Letters[i]
		if l.Chunks == 0 {
			if part = m.GatherParts(&machine.AcceptEntry{Size: l.Size}, parts, part); part < 0 {
				return machine.ErrCorrupt
			}
		}
		if err := checkEnvelope(l.Envelope); err != nil {
			return err
		}
		var v machine.EnvelopeView
		if err := v.Decode(l.Envelope); err != nil || len(v.Recipients) != len(l.Rows) ||
			!l.Waits() {
			return machine.ErrCorrupt
		}
	}
	return nil
}

func checkEnvelope(stored []byte) error {
	e, err := machine.DecodeEnvelope(stored)
	if err != nil {
		return err
	}
	s := submission{env: e, content: &mail.Content{}}
	if fail := s.check(); fail != nil {
		return fail
	}
	var w machine.EnvelopeWriter
	if !bytes.Equal(w.Encode(e), stored) {
		return machine.ErrCorrupt // our encoding of an envelope is the only one
	}
	return nil
}
