package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/rows"
)

// courierTo copies messages to another group, in commands of bounded size. At most one command's
// content is in memory.
type courierTo struct {
	ctx     context.Context
	q       *Queue
	r       Reader
	now     func() int64 // command time
	letter  func(l *loader, id mail.ID) (*letter, error)
	from    uint64
	serial  uint64
	to      Proposer
	letters []letter
	parts   [][]byte
	size    int64 // octets of the letters gathered
	refs    []goingRef
}

// add copies a message, now or with others.
func (c *courierTo) add(id mail.ID) error {
	l, err := c.q.loader(c.r)
	if err != nil {
		return err
	}
	one, err := c.letter(&l, id)
	if err != nil || one == nil {
		return err
	}
	c.refs = append(c.refs, goingRef{id, digestOf(one.encoded)})
	if !c.whole(&l.rec) {
		if one.chunks, err = c.bring(id, l.rec.parts); err != nil {
			return err
		}
		c.letters = append(c.letters, *one)
		return c.flush()
	}
	size := one.size + int64(len(one.encoded))
	if c.size > 0 && c.size+size > batchContent {
		if err := c.flush(); err != nil {
			return err
		}
	}
	for _, p := range l.rec.parts {
		part, err := c.r.ReadPart(nil, p.Index, p.Part)
		if err != nil {
			return fmt.Errorf("read its content: %w", err)
		}
		c.parts = append(c.parts, part)
	}
	c.letters, c.size = append(c.letters, *one), c.size+size
	return nil
}

// whole reports whether a content goes with its letter: it is not large, and its parts are what a
// command of its size has.
func (c *courierTo) whole(rec *record) bool {
	if rec.size > directSize || len(rec.parts) != partsOf(rec.size) {
		return false
	}
	left := rec.size
	for _, p := range rec.parts {
		if p.Size != min(left, partSize) {
			return false
		}
		left -= p.Size
	}
	return true
}

// bring sends a large content in chunks, one at a time.
func (c *courierTo) bring(id mail.ID, parts []PartRef) (n uint32, err error) {
	for _, p := range parts {
		part, err := c.r.ReadPart(nil, p.Index, p.Part)
		if err != nil {
			return n, fmt.Errorf("read its content: %w", err)
		}
		data := appendBring(
			appendCommand(nil, cmdBring, c.now()),
			c.from,
			c.serial,
			chunkRef{id, n},
		)
		if err := c.send(data, [][]byte{part}); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// flush sends what was gathered.
func (c *courierTo) flush() error {
	if len(c.letters) == 0 {
		return nil
	}
	data := appendTake(appendCommand(nil, cmdTake, c.now()), c.from, c.serial, len(c.letters))
	for i := range c.letters {
		data = appendTaken(data, &c.letters[i])
	}
	err := c.send(data, c.parts)
	c.letters, c.parts, c.size = c.letters[:0], nil, 0
	return err
}

func (c *courierTo) send(data []byte, parts [][]byte) error {
	result, err := proposeAt(c.ctx, c.to, data, parts)
	if err == nil && !result.(takeResult).ok {
		err = errNotTaken
	}
	return err
}

// elsewhereTries bounds how often a command is proposed to another group whose owner answers that
// it did not take it, or not whether it did.
const elsewhereTries = 4

// proposeAt proposes to another group, with the same octets, until the outcome is known or it has
// been tried often enough.
func proposeAt(
	ctx context.Context, to Proposer, data []byte, parts [][]byte,
) (result any, err error) {
	pause := rows.FirstPause
	for try := 0; ; try++ {
		if result, err = to.Propose(ctx, data, parts); err == nil || try == elsewhereTries {
			return result, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
			pause = min(2*pause, rows.MostPause)
		}
	}
}

// letter reads a message as it goes to another group; nil: it is gone, or has reports due, which
// are made here.
func (l *loader) letter(id mail.ID) (*letter, error) {
	if ok, err := l.record(id); err != nil || !ok {
		return nil, err
	}
	l.key = appendRecipientKey(l.key[:0], id, countsNumber)
	v, changed, err := l.r.Get(l.key)
	if err != nil {
		return nil, err
	}
	if changed {
		if c, err := decodeCounts(v); err != nil || c.reports > 0 {
			return nil, err
		}
	}
	rows := make([]recipientRow, len(l.rec.recipients))
	initial := (&changeSet{id: id, rec: record{index: l.rec.index}}).initial()
	for n := range rows {
		if rows[n], err = l.recipient(id, uint32(n), initial); err != nil {
			return nil, err
		}
	}
	one, err := decodeLetter(appendLetter(nil, &l.rec, rows, &l.meta))
	if err != nil || !one.waits() {
		return nil, err
	}
	one.id = id
	return &one, nil
}
