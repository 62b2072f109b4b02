package queue

import (
	"errors"
	"fmt"
)

var errNotForwarded = errors.New("only accept commands may come from another member")

// CheckForwarded looks at a command that another member sent, before it is proposed here: what enters the log must be applicable on all
// members, and outcomes and epochs are the leader's own.
func CheckForwarded(data []byte, parts [][]byte) error {
	var c command
	if err := c.decode(data); err != nil {
		return fmt.Errorf("forwarded command: %w", err)
	}
	switch c.kind {
	case cmdAccept:
		return c.checkAccept(parts)
	case cmdChunk:
		if len(parts) != 1 || len(parts[0]) > partSize {
			return fmt.Errorf("forwarded chunk: %w", errCorrupt)
		}
		return nil
	}
	return errNotForwarded
}

// checkAccept refuses what applyAccept would panic at.
func (c *command) checkAccept(parts [][]byte) error {
	var m machine
	for i, part := 0, 0; i < len(c.accept); i++ {
		e := &c.accept[i]
		if e.chunks == 0 {
			if part = m.gatherParts(e, parts, part); part < 0 {
				return fmt.Errorf("forwarded message %v has not the content it says: %w", e.id, errCorrupt)
			}
		}
		if _, err := decodeEnvelope(e.envelope); err != nil {
			return fmt.Errorf("forwarded message %v: envelope: %w", e.id, err)
		}
		if err := m.msg.rec.envelopeView.decode(e.envelope); err != nil || len(m.msg.rec.recipients) == 0 {
			return fmt.Errorf("forwarded message %v: no recipients: %w", e.id, errCorrupt)
		}
	}
	return nil
}
