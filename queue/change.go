package queue

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/postroad/postroad/internal/mail"
)

// changeSet is a message with those of its recipients that the command changes. The changes are
// made in memory and written by close, so that a message that goes costs no rows in between.
type changeSet struct {
	id      mail.ID
	rec     record
	changed bool // it had changed before: a counts row is there
	counts  counts
	was     counts
	touched []touched
	places  []int32 // by recipient number: 1 + place in touched
	reports [ReportSuccess + 1][]reported
}

// touched is one recipient: its row as it is to be, and what is in the store.
type touched struct {
	number uint32
	row    recipientRow
	stored bool // it has a row
	dirty  bool // row differs from what is stored
	was    State
	wasDue int64
}

// reported is a recipient's share of a report row.
type reported struct {
	number  uint32
	state   State
	attempt []byte
}

// open reads a message. It reports false when it is not in the queue.
func (m *machine) open(id mail.ID) bool {
	e := &m.msg
	m.key = appendMessageKey(m.key[:0], id)
	v, ok := m.w.Get(m.key)
	if !ok {
		return false
	}
	if err := e.rec.decode(v); err != nil {
		panic(fmt.Sprintf("queue: record of message %v: %v", id, err))
	}
	n := len(e.rec.recipients)
	e.id, e.changed = id, false
	e.counts = counts{remaining: uint32(n)}
	e.touched = e.touched[:0]
	for i := range e.reports {
		e.reports[i] = e.reports[i][:0]
	}
	e.places = append(e.places[:0], make([]int32, n)...)
	if n > 1 || e.rec.flags&flagChanged != 0 {
		if v, ok := m.w.Get(appendRecipientKey(m.key[:0], id, countsNumber)); ok {
			e.changed, e.counts = true, must(decodeCounts(v))
		}
	}
	e.was = e.counts
	return true
}

// recipient returns the recipient of the opened message, or nil when it has none of that number.
// The result is valid until the next call.
func (m *machine) recipient(number uint32) *touched {
	e := &m.msg
	if int64(number) >= int64(len(e.places)) {
		return nil
	}
	if p := e.places[number]; p > 0 {
		return &e.touched[p-1]
	}
	t := touched{number: number, row: e.initial()}
	if e.changed {
		m.key = appendRecipientKey(m.key[:0], e.id, number)
		if v, ok := m.w.Get(m.key); ok {
			t.row, t.stored = must(decodeRecipientRow(bytes.Clone(v))), true
		}
	}
	t.was, t.wasDue = t.row.state, t.row.due
	e.touched = append(e.touched, t)
	e.places[number] = int32(len(e.touched))
	return &e.touched[len(e.touched)-1]
}

// initial is the state of a recipient without a row.
func (e *changeSet) initial() recipientRow {
	return recipientRow{
		state:   Ready,
		due:     e.id.Time().UnixMilli(),
		index:   e.rec.index,
		attempt: noAttempt,
	}
}

// close writes what became of the opened message.
func (m *machine) close() {
	e := &m.msg
	if !slices.ContainsFunc(e.touched, func(t touched) bool { return t.dirty }) &&
		e.counts == e.was {
		return
	}
	m.reschedule()
	m.writeReports()
	if e.counts == (counts{}) {
		m.remove()
		return
	}
	for i := range e.touched {
		if t := &e.touched[i]; t.dirty {
			m.key = appendRecipientKey(m.key[:0], e.id, t.number)
			m.set(m.key, t.row.append(m.val[:0]))
		}
	}
	if !e.changed || e.counts != e.was {
		m.key = appendRecipientKey(m.key[:0], e.id, countsNumber)
		m.set(m.key, e.counts.append(m.val[:0]))
	}
	if len(e.places) == 1 && e.rec.flags&flagChanged == 0 {
		// Only a message of one recipient has this flag: it spares the common one, which is settled
		// at once, the search for a counts row.
		m.key = appendMessageKey(m.key[:0], e.id)
		v := appendHead(m.val[:0], e.rec.flags|flagChanged, e.rec.index, e.rec.size, e.rec.parts)
		m.set(m.key, append(v, e.rec.envelope...))
	}
}

// remove takes the opened message out: the last of its recipients was settled.
func (m *machine) remove() {
	m.takeOut()
	m.events.gone(&m.msg)
}

// takeOut takes the opened message out with all its rows but those of the schedule. Its record kept
// the parts; they are dropped with it.
func (m *machine) takeOut() {
	e := &m.msg
	for _, p := range e.rec.parts {
		m.w.DropPart(p.Index, p.Part)
	}
	m.key = appendMessageKey(m.key[:0], e.id)
	m.w.Delete(m.key)
	if e.changed {
		m.key = appendRecipientKey(m.key[:0], e.id, countsNumber)
		m.w.Delete(m.key)
	}
	for n, p := range e.places {
		// A recipient that this command did not touch was final before, so it has a row.
		if p == 0 || e.touched[p-1].stored {
			m.key = appendRecipientKey(m.key[:0], e.id, uint32(n))
			m.w.Delete(m.key)
		}
	}
	m.meta.counters[countMessages]--
	m.meta.counters[countBytes] -= uint64(e.rec.size)
}

// slot is a recipient's place in the schedule.
type dueEntry struct {
	domain uint32
	due    int64
	number uint32
}

func (a dueEntry) compare(b dueEntry) int {
	return cmp.Or(
		cmp.Compare(a.domain, b.domain),
		cmp.Compare(a.due, b.due),
		cmp.Compare(a.number, b.number),
	)
}

func scheduled(s State) bool { return s == Ready || s == Deferred }

// reschedule brings the schedule rows of the opened message up to date: each recipient that is
// ready or deferred is in exactly one of them, and no other recipient is in any.
func (m *machine) reschedule() {
	e := &m.msg
	if len(e.places) == 1 {
		for i := range e.touched {
			m.rescheduleOne(&e.touched[i])
		}
		return
	}
	var out, in []dueEntry
	for i := range e.touched {
		t := &e.touched[i]
		before, after := scheduled(t.was), scheduled(t.row.state)
		if before && after && t.wasDue == t.row.due {
			continue
		}
		domain := e.rec.recipients[t.number].domain
		if before {
			out = append(out, dueEntry{domain, t.wasDue, t.number})
		}
		if after {
			in = append(in, dueEntry{domain, t.row.due, t.number})
		}
	}
	m.editSchedule(out, false)
	m.editSchedule(in, true)
}

// rescheduleOne: the row of a message's only recipient needs no reading and no list.
func (m *machine) rescheduleOne(t *touched) {
	before, after := scheduled(t.was), scheduled(t.row.state)
	if before && after && t.wasDue == t.row.due {
		return
	}
	e := &m.msg
	domain := e.rec.domains[0]
	if before {
		m.key = appendScheduleKey(m.key[:0], domain, t.wasDue, e.id)
		m.w.Delete(m.key)
	}
	if after {
		m.key = appendScheduleKey(m.key[:0], domain, t.row.due, e.id)
		m.w.Set(m.key, nil)
		m.events.scheduled(domain, t.row.due, e)
	}
}

// editSchedule adds recipients to their rows, or takes them out.
func (m *machine) editSchedule(entries []dueEntry, add bool) {
	slices.SortFunc(entries, dueEntry.compare)
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && entries[n].domain == entries[0].domain &&
			entries[n].due == entries[0].due {
			n++
		}
		m.editRow(entries[:n], add)
		entries = entries[n:]
	}
}

// editRow edits the one row that the slots share.
func (m *machine) editRow(entries []dueEntry, add bool) {
	e := &m.msg
	domain := e.rec.domains[entries[0].domain]
	m.key = appendScheduleKey(m.key[:0], domain, entries[0].due, e.id)
	m.numbers = m.numbers[:0]
	if v, ok := m.w.Get(m.key); ok && len(v) == 0 {
		m.numbers = e.rec.ofDomain(m.numbers, entries[0].domain)
	} else if ok {
		m.numbers = must(decodeNumbers(m.numbers, v))
	} else if !add {
		panic(fmt.Sprintf("queue: message %v has no schedule row for %s", e.id, domain))
	}
	if add {
		for _, s := range entries {
			m.numbers = append(m.numbers, s.number)
		}
		slices.Sort(m.numbers)
	} else {
		m.numbers = slices.DeleteFunc(m.numbers, func(number uint32) bool {
			_, found := slices.BinarySearchFunc(entries, number,
				func(s dueEntry, n uint32) int { return cmp.Compare(s.number, n) })
			return found
		})
	}
	m.writeScheduleRow(domain, entries[0])
}

// writeScheduleRow writes m.numbers under m.key. All of a domain's recipients are written as the
// empty value.
func (m *machine) writeScheduleRow(domain []byte, s dueEntry) {
	e := &m.msg
	if len(m.numbers) == 0 {
		m.w.Delete(m.key)
		return
	}
	m.others = e.rec.ofDomain(m.others[:0], s.domain)
	if len(m.others) == len(m.numbers) {
		m.w.Set(m.key, nil)
	} else {
		m.set(m.key, appendNumbers(m.val[:0], m.numbers))
	}
	m.events.scheduled(domain, s.due, e)
}

// ofDomain appends the numbers of the recipients of a domain.
func (v *envelopeView) ofDomain(into []uint32, domain uint32) []uint32 {
	for i := range v.recipients {
		if v.recipients[i].domain == domain {
			into = append(into, uint32(i))
		}
	}
	return into
}

// writeReports writes a due-report row for each kind that the command gave rise to.
func (m *machine) writeReports() {
	e := &m.msg
	for kind, rs := range e.reports {
		if len(rs) == 0 {
			continue
		}
		e.counts.reports++
		m.meta.counters[countReports]++
		m.key = appendReportKey(m.key[:0], ReportID{e.id, m.index, ReportKind(kind)})
		m.set(m.key, appendReportRow(m.val[:0], rs))
		m.events.reportDue()
	}
}
