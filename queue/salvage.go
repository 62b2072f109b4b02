package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

// This file puts messages into a group again that only one member still has: the group went on
// without them, because other members' disks had forgotten them (cluster/takenback.go). They come
// in as by a hand-over, from a source of that member's own, whose serials its salvage keeps. What
// became of their recipients meanwhile nobody knows, so each is maybe attempted.

// Stranded is a message that only this member may have.
type Stranded struct {
	ID         mail.ID
	Sender     string
	Recipients int
	// recipients to whom it is to be delivered, or about whom the sender was to be told
	Open int
	Held bool // one of them is held
}

// Stranded calls fn with the messages after an ID that came with an entry from that one on and have
// not ended, in the order of their IDs, until it returns false. The queue is open, and no owner.
func (q *Queue) Stranded(from uint64, after mail.ID, fn func(*Stranded) bool) error {
	r, err := q.read()
	if err != nil {
		return err
	}
	goOn := true
	for next := nextID(after); goOn; {
		var ids []mail.ID
		err := r.Scan(machine.AppendMessageKey(nil, next), []byte{machine.KeyMessage + 1},
			func(k, _ []byte) bool {
				if id, _, isRow, ok := machine.ParseMessageKey(k); ok && !isRow {
					ids = append(ids, id)
				}
				return len(ids) < scanWindow
			})
		if err != nil {
			return fmt.Errorf("read messages: %w", err)
		}
		for _, id := range ids {
			if !goOn {
				return nil
			}
			one, err := q.stranded(r, id, from)
			if err != nil {
				return fmt.Errorf("read message %v: %w", id, err)
			}
			goOn = one == nil || fn(one)
		}
		if len(ids) < scanWindow {
			return nil
		}
		next = nextID(ids[len(ids)-1])
	}
	return nil
}

func (q *Queue) stranded(r Reader, id mail.ID, from uint64) (*Stranded, error) {
	l, err := q.loader(r)
	if err != nil {
		return nil, err
	}
	letter, err := l.stranded(id)
	if err != nil || letter == nil || l.rec.Index < from {
		return nil, err
	}
	var v machine.EnvelopeView
	if err := v.Decode(letter.Envelope); err != nil {
		return nil, err
	}
	s := &Stranded{ID: id, Sender: string(v.Sender), Recipients: len(letter.Rows)}
	for i := range letter.Rows {
		if !letter.Rows[i].State.Final() {
			s.Open++
		}
		s.Held = s.Held || letter.Rows[i].State == Held
	}
	return s, nil
}

// stranded reads a message as it goes into the group again; nil: it is gone, or has ended. A
// recipient whose failure the sender may not have been told of is tried again: it fails again, and
// is reported then.
func (l *loader) stranded(id mail.ID) (*machine.Letter, error) {
	if ok, err := l.record(id); err != nil || !ok {
		return nil, err
	}
	l.key = machine.AppendRecipientKey(l.key[:0], id, machine.CountsNumber)
	v, changed, err := l.r.Get(l.key)
	if err != nil {
		return nil, err
	}
	var c machine.Counts
	if changed {
		if c, err = machine.DecodeCounts(v); err != nil {
			return nil, err
		}
	}
	rows := make([]machine.RecipientRow, len(l.rec.Recipients))
	for n := range rows {
		row, err := l.recipient(
			id,
			uint32(n),
			(&machine.ChangeSet{ID: id, Rec: machine.Record{Index: l.rec.Index}}).Initial(),
		)
		if err != nil {
			return nil, err
		}
		if c.Reports > 0 && (row.State == Failed || row.State == Expired) {
			row.State, row.Due = Ready, l.meta.Time
		}
		row.Maybe = !row.State.Final()
		rows[n] = row
	}
	one, err := machine.DecodeLetter(machine.AppendLetter(nil, &l.rec, rows, &l.meta))
	if err != nil || !one.Waits() {
		return nil, err
	}
	one.ID = id
	return &one, nil
}

// Salvage is one batch of such messages on its way into a group.
type Salvage struct {
	Source uint64   // of this member and group, and of no other
	Serial uint64   // of this batch, above those of all before
	To     Proposer // at whoever owns the group
}

// SalvageSource is where a member's salvage of a group comes from; it is no group's number.
func SalvageSource(member uint16, group uint64) uint64 { return 1<<63 | uint64(member)<<32 | group }

// Bring copies messages, at most HandOverMessages. They are the group's only after Finish. It may
// be repeated after an error, or be given up by Finish with none of them.
func (s *Salvage) Bring(ctx context.Context, q *Queue, ids []mail.ID) error {
	r, err := q.read()
	if err != nil {
		return err
	}
	m, err := q.metaOf(r)
	if err != nil {
		return err
	}
	c := courierTo{
		ctx:    ctx,
		q:      q,
		r:      r,
		now:    func() int64 { return m.Time },
		letter: (*loader).stranded,
		from:   s.Source,
		serial: s.Serial,
		to:     s.To,
	}
	for _, id := range ids {
		if err := c.add(id); err != nil {
			return fmt.Errorf("put message %v in again: %w", id, err)
		}
	}
	if err := c.flush(); err != nil {
		return fmt.Errorf("put messages in again: %w", err)
	}
	return nil
}

// Finish makes these messages of the batch the group's, but for those that it has, and drops what
// else was copied. It may be repeated.
func (s *Salvage) Finish(ctx context.Context, ids []mail.ID) error {
	data := machine.AppendFinish(machine.AppendCommand(nil, machine.CmdFinish, 0), s.Source,
		s.Serial, ids)
	result, err := proposeAt(ctx, s.To, data, nil)
	if err == nil && !result.(machine.FinishResult).Ok {
		err = errors.New("another salvage of this node's mail is under way there")
	}
	if err != nil {
		return fmt.Errorf("make messages the group's: %w", err)
	}
	return nil
}
