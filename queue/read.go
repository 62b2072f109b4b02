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

var errNotOpen = errors.New("queue: not open yet")

func (q *Queue) read() (Reader, error) {
	if r := q.reader.Load(); r != nil {
		return *r, nil
	}
	return nil, errNotOpen
}

// DomainDue is a domain with scheduled recipients and the earliest time one of them is due.
type DomainDue struct {
	Domain string
	Due    time.Time
}

// Domains returns up to max domains after the given one, in order of their names. Each costs one
// seek.
func (q *Queue) Domains(after string, max int) ([]DomainDue, error) {
	r, err := q.read()
	if err != nil {
		return nil, err
	}
	var found []DomainDue
	from, to := append([]byte{machine.KeySchedule}, after...), []byte{machine.KeySchedule + 1}
	for len(found) < max {
		var key []byte
		from = append(from, 1) // the first key after all keys of the domain
		first := func(k, _ []byte) bool { key = bytes.Clone(k); return false }
		if err := r.Scan(from, to, first); err != nil {
			return found, fmt.Errorf("list domains: %w", err)
		}
		if key == nil {
			break
		}
		domain, due, _, ok := machine.ParseScheduleKey(key)
		if !ok {
			return found, fmt.Errorf("list domains: key %q: %w", key, machine.ErrCorrupt)
		}
		found = append(found, DomainDue{string(domain), codec.FromMillis(due)})
		from = append(from[:1], domain...)
	}
	return found, nil
}

// Cursor is a place in a domain's schedule. The zero Cursor is before its beginning.
type Cursor struct {
	Due time.Time
	ID  mail.ID
}

// Due returns up to max items of a domain that come after the cursor and are due at until or
// before, in order of their due times, and the cursor of the last row that was read. Fewer than max
// items: there are no more of them now.
func (q *Queue) Due(domain string, after Cursor, until time.Time, max int) ([]Item, Cursor, error) {
	r, err := q.read()
	if err != nil {
		return nil, after, err
	}
	l, err := q.loader(r)
	if err != nil {
		return nil, after, fmt.Errorf("read schedule of %s: %w", domain, err)
	}
	items := make([]Item, 0, min(max, scanWindow))
	for len(items) < max { // again when some of the rows' messages were settled meanwhile
		rows, err := q.scanDue(r, domain, after, until, max-len(items))
		if err != nil {
			return items, after, fmt.Errorf("read schedule of %s: %w", domain, err)
		}
		all := len(rows) < max-len(items)
		for _, row := range rows {
			it, err := l.item(domain, row)
			if err != nil {
				return items, after, fmt.Errorf("read message %v: %w", row.id, err)
			}
			if it.Message != nil {
				items = append(items, it)
			}
			after = Cursor{codec.FromMillis(row.due), row.id}
		}
		if all {
			break
		}
	}
	return items, after, nil
}

// dueRow is a schedule row.
type dueRow struct {
	place
	numbers []uint32 // nil: all of the domain
}

func (q *Queue) scanDue(
	r Reader, domain string, after Cursor, until time.Time, max int,
) (rows []dueRow, err error) {
	begin, version := q.hints.begin(domain)
	start := place{codec.ToMillis(after.Due), after.ID}
	fromHead := start == place{} || start != begin && start.min(begin) == start
	var from []byte
	if fromHead {
		from = machine.AppendScheduleKey(nil, domain, begin.due, begin.id)
	} else {
		// after the cursor
		from = append(machine.AppendScheduleKey(nil, domain, start.due, start.id), 0)
	}
	to := machine.AppendScheduleKey(nil, domain, codec.ToMillis(until)+1, mail.ID{})
	var bad error
	err = r.Scan(from, to, func(k, v []byte) bool {
		if len(rows) == max {
			return false
		}
		_, due, id, ok := machine.ParseScheduleKey(k)
		row := dueRow{place: place{due, id}}
		if ok && len(v) > 0 {
			row.numbers, bad = machine.DecodeNumbers(nil, v)
		}
		if !ok {
			bad = machine.ErrCorrupt
		}
		rows = append(rows, row)
		return bad == nil
	})
	if err == nil && bad == nil && fromHead {
		q.noteHint(domain, version, rows, until)
	}
	return rows, errors.Join(err, bad)
}

// noteHint tells scanHints what a scan from the head found.
func (q *Queue) noteHint(domain string, version uint64, rows []dueRow, until time.Time) {
	first := place{due: codec.ToMillis(until) + 1}
	if len(rows) > 0 {
		first = rows[0].place
	}
	q.hints.found(domain, version, first)
}

// loader reads messages with their recipients' states.
type loader struct {
	r    Reader
	meta machine.Meta
	rec  machine.Record
	key  []byte
}

// loader fixes what MaybeAttempted is derived from.
func (q *Queue) loader(r Reader) (l loader, err error) {
	l.r = r
	l.meta, err = q.metaOf(r)
	return l, err
}

// record reads a message record; false when it is gone.
func (l *loader) record(id mail.ID) (bool, error) {
	l.key = machine.AppendMessageKey(l.key[:0], id)
	v, ok, err := l.r.Get(l.key)
	if err != nil || !ok {
		return false, err
	}
	return true, l.rec.Decode(v)
}

// item makes the item of a schedule row.
func (l *loader) item(domain string, row dueRow) (it Item, err error) {
	if ok, err := l.record(row.id); err != nil || !ok {
		return it, err
	}
	m, err := l.rec.Message(row.id)
	if err != nil {
		return it, err
	}
	it = Item{Message: m, Domain: domain, Due: codec.FromMillis(row.due), Recipients: row.numbers}
	if row.numbers == nil {
		for i, d := range l.rec.Domains {
			if string(d) == domain {
				it.Recipients = l.rec.OfDomain(nil, uint32(i))
			}
		}
	}
	simple := len(m.Envelope.Recipients) == 1 && l.rec.Flags&machine.FlagChanged == 0
	for _, n := range it.Recipients {
		row := (&machine.ChangeSet{ID: m.ID, Rec: machine.Record{Index: l.rec.Index}}).Initial()
		if !simple {
			if row, err = l.recipient(m.ID, n, row); err != nil {
				return it, err
			}
		}
		it.Attempts = max(it.Attempts, int(row.Attempts))
		it.MaybeAttempted = it.MaybeAttempted || l.meta.MaybeAttempted(&row)
	}
	return it, nil
}

// recipient reads a recipient's row, which is initial when there is none.
func (l *loader) recipient(
	id mail.ID, number uint32, initial machine.RecipientRow,
) (machine.RecipientRow, error) {
	l.key = machine.AppendRecipientKey(l.key[:0], id, number)
	v, ok, err := l.r.Get(l.key)
	if err != nil || !ok {
		return initial, err
	}
	return machine.DecodeRecipientRow(v)
}
