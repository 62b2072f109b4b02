package machine

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/postroad/postroad/internal/mail"
)

// ChangeSet is a message with those of its recipients that the command changes. The changes are
// made in memory and written by close, so that a message that goes costs no rows in between.
type ChangeSet struct {
	ID      mail.ID
	Rec     Record
	changed bool // it had changed before: a counts row is there
	counts  Counts
	was     Counts
	touched []touched
	places  []int32 // by recipient number: 1 + place in touched
	reports [ReportSuccess + 1][]Reported
}

// touched is one recipient: its row as it is to be, and what is in the store.
type touched struct {
	number uint32
	row    RecipientRow
	stored bool // it has a row
	dirty  bool // row differs from what is stored
	was    State
	wasDue int64
}

// Reported is a recipient's share of a report row.
type Reported struct {
	Number  uint32
	State   State
	Attempt []byte
}

// open reads a message. It reports false when it is not in the queue.
func (m *Machine) open(id mail.ID) bool {
	e := &m.Msg
	m.key = AppendMessageKey(m.key[:0], id)
	v, ok := m.w.Get(m.key)
	if !ok {
		return false
	}
	if err := e.Rec.Decode(v); err != nil {
		panic(fmt.Sprintf("queue: record of message %v: %v", id, err))
	}
	n := len(e.Rec.Recipients)
	e.ID, e.changed = id, false
	e.counts = Counts{Remaining: uint32(n)}
	e.touched = e.touched[:0]
	for i := range e.reports {
		e.reports[i] = e.reports[i][:0]
	}
	e.places = append(e.places[:0], make([]int32, n)...)
	if n > 1 || e.Rec.Flags&FlagChanged != 0 {
		if v, ok := m.w.Get(AppendRecipientKey(m.key[:0], id, CountsNumber)); ok {
			e.changed, e.counts = true, must(DecodeCounts(v))
		}
	}
	e.was = e.counts
	return true
}

// recipient returns the recipient of the opened message, or nil when it has none of that number.
// The result is valid until the next call.
func (m *Machine) recipient(number uint32) *touched {
	e := &m.Msg
	if int64(number) >= int64(len(e.places)) {
		return nil
	}
	if p := e.places[number]; p > 0 {
		return &e.touched[p-1]
	}
	t := touched{number: number, row: e.Initial()}
	if e.changed {
		m.key = AppendRecipientKey(m.key[:0], e.ID, number)
		if v, ok := m.w.Get(m.key); ok {
			t.row, t.stored = must(DecodeRecipientRow(bytes.Clone(v))), true
		}
	}
	t.was, t.wasDue = t.row.State, t.row.Due
	e.touched = append(e.touched, t)
	e.places[number] = int32(len(e.touched))
	return &e.touched[len(e.touched)-1]
}

// Initial is the state of a recipient without a row.
func (e *ChangeSet) Initial() RecipientRow {
	return RecipientRow{
		State:   Ready,
		Due:     e.ID.Time().UnixMilli(),
		Index:   e.Rec.Index,
		Attempt: NoAttempt,
	}
}

// close writes what became of the opened message.
func (m *Machine) close() {
	e := &m.Msg
	if !slices.ContainsFunc(e.touched, func(t touched) bool { return t.dirty }) &&
		e.counts == e.was {
		return
	}
	m.reschedule()
	m.writeReports()
	if e.counts == (Counts{}) {
		m.remove()
		return
	}
	for i := range e.touched {
		if t := &e.touched[i]; t.dirty {
			m.key = AppendRecipientKey(m.key[:0], e.ID, t.number)
			m.set(m.key, t.row.Append(m.val[:0]))
		}
	}
	if !e.changed || e.counts != e.was {
		m.key = AppendRecipientKey(m.key[:0], e.ID, CountsNumber)
		m.set(m.key, e.counts.Append(m.val[:0]))
	}
	if len(e.places) == 1 && e.Rec.Flags&FlagChanged == 0 {
		// Only a message of one recipient has this flag: it spares the common one, which is settled
		// at once, the search for a counts row.
		m.key = AppendMessageKey(m.key[:0], e.ID)
		v := AppendHead(m.val[:0], e.Rec.Flags|FlagChanged, e.Rec.Index, e.Rec.Size, e.Rec.Parts)
		m.set(m.key, append(v, e.Rec.Envelope...))
	}
}

// remove takes the opened message out: the last of its recipients was settled.
func (m *Machine) remove() {
	m.takeOut()
	m.Events.Gone(&m.Msg)
}

// takeOut takes the opened message out with all its rows but those of the schedule. Its record kept
// the parts; they are dropped with it.
func (m *Machine) takeOut() {
	e := &m.Msg
	for _, p := range e.Rec.Parts {
		m.w.DropPart(p.Index, p.Part)
	}
	m.key = AppendMessageKey(m.key[:0], e.ID)
	m.w.Delete(m.key)
	if e.changed {
		m.key = AppendRecipientKey(m.key[:0], e.ID, CountsNumber)
		m.w.Delete(m.key)
	}
	for n, p := range e.places {
		// A recipient that this command did not touch was final before, so it has a row.
		if p == 0 || e.touched[p-1].stored {
			m.key = AppendRecipientKey(m.key[:0], e.ID, uint32(n))
			m.w.Delete(m.key)
		}
	}
	m.Meta.Counters[CountMessages]--
	m.Meta.Counters[CountBytes] -= uint64(e.Rec.Size)
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

// Scheduled reports whether a recipient in this state has a place in the schedule.
func Scheduled(s State) bool { return s == Ready || s == Deferred }

// reschedule brings the schedule rows of the opened message up to date: each recipient that is
// ready or deferred is in exactly one of them, and no other recipient is in any.
func (m *Machine) reschedule() {
	e := &m.Msg
	if len(e.places) == 1 {
		for i := range e.touched {
			m.rescheduleOne(&e.touched[i])
		}
		return
	}
	var out, in []dueEntry
	for i := range e.touched {
		t := &e.touched[i]
		before, after := Scheduled(t.was), Scheduled(t.row.State)
		if before && after && t.wasDue == t.row.Due {
			continue
		}
		domain := e.Rec.Recipients[t.number].Domain
		if before {
			out = append(out, dueEntry{domain, t.wasDue, t.number})
		}
		if after {
			in = append(in, dueEntry{domain, t.row.Due, t.number})
		}
	}
	m.editSchedule(out, false)
	m.editSchedule(in, true)
}

// rescheduleOne: the row of a message's only recipient needs no reading and no list.
func (m *Machine) rescheduleOne(t *touched) {
	before, after := Scheduled(t.was), Scheduled(t.row.State)
	if before && after && t.wasDue == t.row.Due {
		return
	}
	e := &m.Msg
	domain := e.Rec.Domains[0]
	if before {
		m.key = AppendScheduleKey(m.key[:0], domain, t.wasDue, e.ID)
		m.w.Delete(m.key)
	}
	if after {
		m.key = AppendScheduleKey(m.key[:0], domain, t.row.Due, e.ID)
		m.w.Set(m.key, nil)
		m.Events.Scheduled(domain, t.row.Due, e)
	}
}

// editSchedule adds recipients to their rows, or takes them out.
func (m *Machine) editSchedule(entries []dueEntry, add bool) {
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
func (m *Machine) editRow(entries []dueEntry, add bool) {
	e := &m.Msg
	domain := e.Rec.Domains[entries[0].domain]
	m.key = AppendScheduleKey(m.key[:0], domain, entries[0].due, e.ID)
	m.numbers = m.numbers[:0]
	if v, ok := m.w.Get(m.key); ok && len(v) == 0 {
		m.numbers = e.Rec.OfDomain(m.numbers, entries[0].domain)
	} else if ok {
		m.numbers = must(DecodeNumbers(m.numbers, v))
	} else if !add {
		panic(fmt.Sprintf("queue: message %v has no schedule row for %s", e.ID, domain))
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
func (m *Machine) writeScheduleRow(domain []byte, s dueEntry) {
	e := &m.Msg
	if len(m.numbers) == 0 {
		m.w.Delete(m.key)
		return
	}
	m.others = e.Rec.OfDomain(m.others[:0], s.domain)
	if len(m.others) == len(m.numbers) {
		m.w.Set(m.key, nil)
	} else {
		m.set(m.key, AppendNumbers(m.val[:0], m.numbers))
	}
	m.Events.Scheduled(domain, s.due, e)
}

// OfDomain appends the numbers of the recipients of a domain.
func (v *EnvelopeView) OfDomain(into []uint32, domain uint32) []uint32 {
	for i := range v.Recipients {
		if v.Recipients[i].Domain == domain {
			into = append(into, uint32(i))
		}
	}
	return into
}

// writeReports writes a due-report row for each kind that the command gave rise to.
func (m *Machine) writeReports() {
	e := &m.Msg
	for kind, rs := range e.reports {
		if len(rs) == 0 {
			continue
		}
		e.counts.Reports++
		m.Meta.Counters[CountReports]++
		m.key = AppendReportKey(m.key[:0], ReportID{e.ID, m.index, ReportKind(kind)})
		m.set(m.key, AppendReportRow(m.val[:0], rs))
		m.Events.ReportDue()
	}
}
