package queue

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/postroad/postroad/internal/mail"
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
	var c command
	if err := c.decode(data); err != nil {
		return fmt.Errorf("forwarded command: %w", err)
	}
	switch c.kind {
	case cmdAccept:
		return checkAccept(&c, parts)
	case cmdChunk:
		if len(parts) != 1 || len(parts[0]) > partSize {
			return fmt.Errorf("forwarded chunk: %w", errCorrupt)
		}
		return nil
	case cmdBring:
		if len(parts) != 1 || len(parts[0]) > partSize {
			return fmt.Errorf("chunk from another group: %w", errCorrupt)
		}
		return nil
	case cmdTake:
		if err := checkTake(&c, parts); err != nil {
			return fmt.Errorf("letters from another group: %w", err)
		}
		return nil
	case cmdFinish:
		return nil
	}
	return errNotForwarded
}

// bringsMail reports whether a command brings messages from another group.
func bringsMail(data []byte) bool {
	return len(data) > 1 && (commandType(data[1]) == cmdTake || commandType(data[1]) == cmdBring)
}

// checkAccept refuses what applyAccept would panic at, or what no front lets through.
func checkAccept(c *command, parts [][]byte) error {
	var m machine
	for i, part := 0, 0; i < len(c.accept); i++ {
		e := &c.accept[i]
		if e.chunks == 0 {
			if part = m.gatherParts(e, parts, part); part < 0 {
				return fmt.Errorf(
					"forwarded message %v has not the content it says: %w",
					e.id,
					errCorrupt,
				)
			}
		}
		if err := checkEnvelope(e.envelope); err != nil {
			return fmt.Errorf("forwarded message %v: envelope: %w", e.id, err)
		}
	}
	return nil
}

// checkTake refuses of letters from another member what Apply would panic at, or what no front lets
// through.
func checkTake(c *command, parts [][]byte) error {
	var m machine
	part := 0
	for i := range c.handover.letters {
		l := &c.handover.letters[i]
		if l.chunks == 0 {
			if part = m.gatherParts(&acceptEntry{size: l.size}, parts, part); part < 0 {
				return errCorrupt
			}
		}
		if err := checkEnvelope(l.envelope); err != nil {
			return err
		}
		var v envelopeView
		if err := v.decode(l.envelope); err != nil || len(v.recipients) != len(l.rows) ||
			!l.waits() {
			return errCorrupt
		}
	}
	return nil
}

func checkEnvelope(stored []byte) error {
	e, err := decodeEnvelope(stored)
	if err != nil {
		return err
	}
	s := submission{env: e, content: &mail.Content{}}
	if fail := s.check(); fail != nil {
		return fail
	}
	var w envelopeWriter
	if !bytes.Equal(w.encode(e), stored) {
		return errCorrupt // our encoding of an envelope is the only one
	}
	return nil
}
