package queue

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

// RecipientStatus is what is known of one recipient.
type RecipientStatus struct {
	State          State
	Due            time.Time // Ready and Deferred
	Attempts       int
	Last           mail.Attempt // the latest attempt or decision; zero when there was none
	Warned         bool         // a delay warning was due once
	MaybeAttempted bool
}

// Stored is a message with the state of each of its recipients.
type Stored struct {
	Message    *Message
	Recipients []RecipientStatus // as Message.Envelope.Recipients
	Reports    int               // due reports on it
}

// Load returns a message, or nil when it is not in the queue (any more).
func (q *Queue) Load(id mail.ID) (found *Stored, err error) {
	err = q.scanMessages(id, id, nil, func(s *Stored) bool { found = s; return false })
	return found, err
}

// ScanArrived calls fn with the messages after the given ID that arrived before the given time, in
// order of arrival, until fn returns false. It serves the sweeps for expiry and delay warnings.
// Nothing of the store is held while fn runs.
func (q *Queue) ScanArrived(after mail.ID, before time.Time, fn func(*Stored) bool) error {
	to := mail.FloorID(before)
	if bytes.Compare(to[:], after[:]) <= 0 {
		return nil
	}
	return q.scanMessages(nextID(after), prevID(to), nil, fn)
}

// scanWindow is how many messages are read from the store at once.
const scanWindow = 256

// scanMessages calls fn with the messages from first to last, both included, as far as want (nil:
// all) wants their records.
func (q *Queue) scanMessages(
	first, last mail.ID, want func(*machine.Record) bool, fn func(*Stored) bool,
) error {
	r, err := q.read()
	if err != nil {
		return err
	}
	to := append(machine.AppendRecipientKey(nil, last, machine.CountsNumber), 0)
	for {
		var found []*Stored
		l, err := q.loader(r)
		if err != nil {
			return fmt.Errorf("read messages: %w", err)
		}
		g := gatherer{
			loader: l,
			want:   want,
			emit: func(s *Stored) bool {
				found = append(found, s)
				return len(found) < scanWindow
			},
		}
		if err := r.Scan(machine.AppendMessageKey(nil, first), to, g.pair); err != nil {
			return fmt.Errorf("read messages: %w", err)
		}
		if g.flush(); g.err != nil {
			return fmt.Errorf("read message %v: %w", g.id, g.err)
		}
		for _, s := range found {
			if !fn(s) {
				return nil
			}
		}
		if len(found) < scanWindow {
			return nil
		}
		first = nextID(found[len(found)-1].Message.ID)
	}
}

// gatherer puts the rows of a scan together again: a message's record comes first, then the rows of
// its recipients.
type gatherer struct {
	loader
	want func(*machine.Record) bool // of an undecoded record; nil: all
	emit func(*Stored) (on bool)    // gets each message
	id   mail.ID
	now  *Stored // the message whose rows are coming
	err  error
}

func (g *gatherer) pair(k, v []byte) bool {
	id, number, isRow, ok := machine.ParseMessageKey(k)
	switch {
	case !ok:
		g.err = machine.ErrCorrupt
	case !isRow:
		if !g.flush() {
			return false
		}
		g.err = g.message(id, v)
	case g.now != nil && id == g.id:
		g.err = g.row(number, v)
	}
	return g.err == nil
}

// flush emits the message that is complete, if there is one.
func (g *gatherer) flush() (on bool) {
	if g.now == nil {
		return true
	}
	s := g.now
	g.now = nil
	return g.emit(s)
}

func (g *gatherer) message(id mail.ID, v []byte) error {
	g.id = id
	if err := g.rec.DecodeInPlace(v); err != nil {
		return err
	}
	if g.want != nil && !g.want(&g.rec) {
		return nil
	}
	m, err := g.rec.Message(id)
	if err != nil {
		return err
	}
	g.now = &Stored{Message: m, Recipients: make([]RecipientStatus, len(m.Envelope.Recipients))}
	initial := (&machine.ChangeSet{ID: id, Rec: machine.Record{Index: g.rec.Index}}).Initial()
	for i := range g.now.Recipients {
		g.now.Recipients[i] = g.status(&initial)
	}
	return nil
}

func (g *gatherer) row(number uint32, v []byte) error {
	if number == machine.CountsNumber {
		c, err := machine.DecodeCounts(v)
		g.now.Reports = int(c.Reports)
		return err
	}
	if int(number) >= len(g.now.Recipients) {
		return errors.Join(machine.ErrCorrupt, fmt.Errorf("it has no recipient %d", number))
	}
	row, err := machine.DecodeRecipientRow(v)
	if err == nil {
		g.now.Recipients[number] = g.status(&row)
	}
	return err
}

func (l *loader) status(r *machine.RecipientRow) RecipientStatus {
	s := RecipientStatus{
		State:    r.State,
		Attempts: int(r.Attempts),
		Warned:   r.Warned,
		Last:     r.Last(),
	}
	if machine.Scheduled(r.State) {
		s.Due = codec.FromMillis(r.Due)
	}
	s.MaybeAttempted = !r.State.Final() && l.meta.MaybeAttempted(r)
	return s
}

func nextID(id mail.ID) mail.ID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}

func prevID(id mail.ID) mail.ID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]--; id[i] != 0xff {
			break
		}
	}
	return id
}
