package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/rows"
	"github.com/postroad/postroad/queue/machine"
)

// courierTo copies messages to another group, in commands of bounded size. At most one command's
// content is in memory.
type courierTo struct {
	ctx     context.Context
	q       *Queue
	r       Reader
	now     func() int64 // command time
	letter  func(l *loader, id mail.ID) (*machine.Letter, error)
	from    uint64
	serial  uint64
	to      Proposer
	letters []machine.Letter
	parts   [][]byte
	size    int64 // octets of the letters gathered
	refs    []machine.GoingRef
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
	c.refs = append(c.refs, machine.GoingRef{ID: id, Digest: machine.DigestOf(one.Encoded)})
	if !c.whole(&l.rec) {
		if one.Chunks, err = c.bring(id, l.rec.Parts); err != nil {
			return err
		}
		c.letters = append(c.letters, *one)
		return c.flush()
	}
	size := one.Size + int64(len(one.Encoded))
	if c.size > 0 && c.size+size > batchContent {
		if err := c.flush(); err != nil {
			return err
		}
	}
	for _, p := range l.rec.Parts {
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
func (c *courierTo) whole(rec *machine.Record) bool {
	if rec.Size > directSize || len(rec.Parts) != machine.PartsOf(rec.Size) {
		return false
	}
	left := rec.Size
	for _, p := range rec.Parts {
		if p.Size != min(left, machine.PartSize) {
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
		data := machine.AppendBring(
			machine.AppendCommand(nil, machine.CmdBring, c.now()),
			c.from,
			c.serial,
			machine.ChunkRef{ID: id, Seq: n},
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
	data := machine.AppendTake(machine.AppendCommand(nil, machine.CmdTake, c.now()), c.from,
		c.serial, len(c.letters))
	for i := range c.letters {
		data = machine.AppendTaken(data, &c.letters[i])
	}
	err := c.send(data, c.parts)
	c.letters, c.parts, c.size = c.letters[:0], nil, 0
	return err
}

func (c *courierTo) send(data []byte, parts [][]byte) error {
	result, err := proposeAt(c.ctx, c.to, data, parts)
	if err == nil && !result.(machine.TakeResult).Ok {
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
func (l *loader) letter(id mail.ID) (*machine.Letter, error) {
	if ok, err := l.record(id); err != nil || !ok {
		return nil, err
	}
	l.key = machine.AppendRecipientKey(l.key[:0], id, machine.CountsNumber)
	v, changed, err := l.r.Get(l.key)
	if err != nil {
		return nil, err
	}
	if changed {
		if c, err := machine.DecodeCounts(v); err != nil || c.Reports > 0 {
			return nil, err
		}
	}
	rows := make([]machine.RecipientRow, len(l.rec.Recipients))
	initial := (&machine.ChangeSet{ID: id, Rec: machine.Record{Index: l.rec.Index}}).Initial()
	for n := range rows {
		if rows[n], err = l.recipient(id, uint32(n), initial); err != nil {
			return nil, err
		}
	}
	one, err := machine.DecodeLetter(machine.AppendLetter(nil, &l.rec, rows, &l.meta))
	if err != nil || !one.Waits() {
		return nil, err
	}
	one.ID = id
	return &one, nil
}
