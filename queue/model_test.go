package queue

import (
	"bytes"
	"slices"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

// model is the state machine once more, as plainly as it can be said: maps, no rows, no shortcuts.
type model struct {
	index, now      uint64
	maybe, maybeDue uint64
	idle            bool
	messages        map[mail.ID]*modelMessage
	reports         map[ReportID][]reportedAs
	counters        [machine.CountersNumber]uint64
	suspended       Suspensions
}

type modelMessage struct {
	sender     string
	size       uint64
	isReport   bool
	recipients []modelRecipient
}

type modelRecipient struct {
	domain   string
	notify   mail.Notify
	state    State
	due      uint64
	attempts int
	warned   bool
	maybe    bool
	index    uint64
	last     mail.Attempt
}

type reportedAs struct {
	number uint32
	state  State
}

func (m *model) accept(id mail.ID, env *mail.Envelope, size int, report ReportID) {
	if report.Kind != 0 {
		if _, due := m.reports[report]; !due {
			return
		}
		m.answer(report)
	}
	msg := &modelMessage{sender: env.Sender, size: uint64(size), isReport: report.Kind != 0}
	for _, r := range env.Recipients {
		msg.recipients = append(msg.recipients, modelRecipient{
			domain: r.Domain, notify: r.Notify, due: uint64(id.Time().UnixMilli()), index: m.index,
		})
	}
	m.messages[id] = msg
	m.counters[machine.CountMessages]++
	m.counters[machine.CountAccepted]++
	m.counters[machine.CountBytes] += msg.size
	m.counters[machine.CountState] += uint64(len(msg.recipients))
}

func (m *model) answer(report ReportID) {
	if _, due := m.reports[report]; due {
		delete(m.reports, report)
		m.counters[machine.CountReports]--
		m.collect(report.ID)
	}
}

// collect removes a message that nothing keeps.
func (m *model) collect(id mail.ID) {
	msg := m.messages[id]
	for _, r := range msg.recipients {
		if !r.state.Final() {
			return
		}
	}
	for r := range m.reports {
		if r.ID == id {
			return
		}
	}
	delete(m.messages, id)
	m.counters[machine.CountMessages]--
	m.counters[machine.CountBytes] -= msg.size
}

func (m *model) to(r *modelRecipient, s State) {
	m.counters[machine.CountState+machine.Counter(r.state)]--
	m.counters[machine.CountState+machine.Counter(s)]++
	r.state = s
}

func (m *model) tell(id mail.ID, n uint32, kind ReportKind, s State) {
	msg := m.messages[id]
	switch notify := msg.recipients[n].notify; {
	case msg.sender == "":
		if kind == ReportFailure {
			m.counters[machine.CountBounced]++
		}
		return
	case notify&mail.NotifyNever != 0,
		kind == ReportFailure && notify != 0 && notify&mail.NotifyFailure == 0,
		kind == ReportDelay && notify != 0 && notify&mail.NotifyDelay == 0,
		kind == ReportSuccess && notify&mail.NotifySuccess == 0:
		return
	}
	key := ReportID{ID: id, Index: m.index, Kind: kind}
	if m.reports[key] == nil {
		m.counters[machine.CountReports]++
	}
	m.reports[key] = append(m.reports[key], reportedAs{n, s})
}

func (m *model) end(id mail.ID, n uint32, hopDSN bool) {
	switch s := m.messages[id].recipients[n].state; s {
	case Failed, Expired:
		m.tell(id, n, ReportFailure, s)
	case Delivered, Expanded:
		m.tell(id, n, ReportSuccess, s)
	case Relayed:
		if !hopDSN {
			m.tell(id, n, ReportSuccess, s)
		}
	}
}

func (m *model) settle(outcomes []Outcome) {
	sorted := slices.Clone(outcomes)
	slices.SortStableFunc(sorted, func(a, b Outcome) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for _, o := range sorted {
		if msg := m.messages[o.ID]; msg != nil && int(o.Recipient) < len(msg.recipients) {
			m.outcome(&o, &msg.recipients[o.Recipient])
		}
	}
	for _, o := range sorted {
		if m.messages[o.ID] != nil {
			m.collect(o.ID)
		}
	}
}

func (m *model) outcome(o *Outcome, r *modelRecipient) {
	if r.state.Final() {
		return
	}
	if o.Warn && !r.warned {
		r.warned = true
		if !o.State.Final() {
			m.tell(o.ID, o.Recipient, ReportDelay, Deferred)
		}
	}
	attempted := !o.Attempt.At.IsZero()
	if o.State == Deferred {
		if attempted && o.Attempt.At.Equal(r.last.At) {
			return // heard before
		}
		if !attempted && (r.state == Held || uint64(o.Due.UnixMilli()) == r.due) {
			return // moves nothing
		}
	}
	r.maybe = !o.State.Final() && m.maybeAttempted(r)
	r.index = m.index
	if attempted {
		r.attempts++
	}
	if o.Attempt != (mail.Attempt{}) {
		r.last = o.Attempt
	}
	if o.State == Deferred {
		r.due = uint64(o.Due.UnixMilli())
		if r.state == Held {
			m.to(r, Held)
			return
		}
	}
	m.to(r, o.State)
	m.end(o.ID, o.Recipient, o.HopDSN)
}

func (m *model) operate(v machine.Verb, why mail.Attempt, refs []machine.RecipientRef) {
	for _, ref := range refs {
		msg := m.messages[ref.ID]
		if msg == nil || int(ref.Number) >= len(msg.recipients) {
			continue
		}
		m.operateOne(v, why, ref, &msg.recipients[ref.Number])
	}
	for _, ref := range refs {
		if m.messages[ref.ID] != nil {
			m.collect(ref.ID)
		}
	}
}

func (m *model) operateOne(
	v machine.Verb, why mail.Attempt, ref machine.RecipientRef, r *modelRecipient,
) {
	s := r.state
	switch {
	case s.Final(), v == machine.VerbHold && s == Held, v == machine.VerbRelease && s != Held,
		v == machine.VerbFlush &&
			(s == Held || r.due <= m.now):
		return
	}
	r.maybe = m.maybeAttempted(r)
	switch v {
	case machine.VerbHold:
		m.to(r, Held)
	case machine.VerbRelease, machine.VerbFlush:
		r.due = m.now
		m.to(r, Ready)
	case machine.VerbFail:
		r.last = why
		m.to(r, Failed)
		m.end(ref.ID, ref.Number, false)
	case machine.VerbRemove:
		m.to(r, Removed)
	}
}

func (m *model) maybeAttempted(r *modelRecipient) bool {
	return r.maybe || r.index < m.maybe && r.due <= m.maybeDue
}

// suspend says it once more: a serial that was there keeps its end.
func (m *model) suspend(version uint64, all []Suspension) {
	if version <= m.suspended.Version {
		return
	}
	now := Suspensions{Version: version, Index: m.index}
	for _, s := range all {
		if s.Lasts > 0 {
			s.Until = time.UnixMilli(int64(m.now)).Add(s.Lasts)
		}
		for _, old := range m.suspended.All {
			if old.Serial == s.Serial {
				s.Until = old.Until
			}
		}
		s.Lasts = 0
		now.All = append(now.All, s)
	}
	m.suspended = now
}
