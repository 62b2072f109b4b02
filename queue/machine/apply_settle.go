package machine

import (
	"bytes"
	"slices"

	"github.com/postroad/postroad/internal/mail"
)

// SettleResult: not ok: the outcomes are those of an owner of the past, and nothing was changed.
type SettleResult struct{ Ok bool }

// applySettle records outcomes, only in the term of the owner that made the attempts. All outcomes
// of one message are applied to it together; the front sorts them, and an unsorted command is
// sorted here, because a message that was opened twice would write the same report row twice.
func (m *Machine) applySettle() any {
	if fenced(m.cmd.Session, m.Meta.Epoch) {
		return SettleResult{}
	}
	all := m.cmd.outcomes
	byID := func(a, b outcomeEntry) int { return bytes.Compare(a.id[:], b.id[:]) }
	if !slices.IsSortedFunc(all, byID) {
		slices.SortStableFunc(all, byID)
	}
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].id == all[0].id {
			n++
		}
		if m.open(all[0].id) { // else it went before: a repeated command, or an operator removed it
			for i := range all[:n] {
				m.settle(&all[i])
			}
			m.close()
		}
		all = all[n:]
	}
	return SettleResult{true}
}

// settle applies one outcome to the opened message. A repeated one changes nothing.
func (m *Machine) settle(o *outcomeEntry) {
	t := m.recipient(o.number)
	if t == nil || t.row.State.Final() {
		return
	}
	if o.flags&outcomeWarn != 0 {
		m.warn(t, o)
	}
	if o.state == Deferred && !m.puttingOff(t, o) {
		return
	}
	to := o.state
	if t.row.State == Held && to == Deferred {
		to = Held // the hold takes effect now
	}
	m.attempted(t, o)
	if to == Deferred {
		t.row.Due = o.due
	}
	m.move(t, to, outcomeReason(o.state))
	m.reportFinal(t, o.flags)
}

// puttingOff reports whether a Deferred outcome is news: it is not when the same attempt was
// recorded before, and a warning without an attempt moves nothing.
func (m *Machine) puttingOff(t *touched, o *outcomeEntry) bool {
	if o.at == 0 {
		return o.due != t.row.Due && t.row.State != Held
	}
	return o.at != t.row.at
}

// attempted records the attempt of an outcome, if there was one. A deferral says nothing of an
// attempt that an earlier owner may have made, so the mark maybe stays until a final state.
func (m *Machine) attempted(t *touched, o *outcomeEntry) {
	t.dirty = true
	t.row.Maybe = !o.state.Final() && m.Meta.MaybeAttempted(&t.row)
	t.row.Index = m.index
	if o.at != 0 {
		t.row.Attempts++
		t.row.at = o.at
	}
	if !bytes.Equal(o.attempt, NoAttempt) {
		t.row.Attempt = o.attempt
	}
}

// warn notes a delay warning. At most one a recipient is ever reported (RFC 3461 section 4.1 leaves
// the number to us).
func (m *Machine) warn(t *touched, o *outcomeEntry) {
	if t.row.Warned {
		return
	}
	t.row.Warned, t.dirty = true, true
	if o.state.Final() {
		return // its end is the report
	}
	last := t.row.Attempt
	if !bytes.Equal(o.attempt, NoAttempt) {
		last = o.attempt
	}
	m.report(t, ReportDelay, Deferred, last)
}

// reportFinal notes the report that a final state calls for (RFC 3461 sections 4.1 and 5.2).
func (m *Machine) reportFinal(t *touched, flags byte) {
	switch t.row.State {
	case Failed, Expired:
		m.report(t, ReportFailure, t.row.State, t.row.Attempt)
	case Relayed:
		if flags&outcomeHopDSN == 0 { // else the next hop reports: RFC 3461 section 5.2.2
			m.report(t, ReportSuccess, Relayed, t.row.Attempt)
		}
	case Delivered, Expanded:
		m.report(t, ReportSuccess, t.row.State, t.row.Attempt)
	}
}

// report notes that the sender is to be told, if it wants to be and can be. A null reverse-path is
// never reported to (RFC 5321 section 4.5.5): a failure there is a double bounce.
func (m *Machine) report(t *touched, kind ReportKind, s State, attempt []byte) {
	e := &m.Msg
	if len(e.Rec.Sender) == 0 {
		if kind == ReportFailure {
			m.Meta.Counters[CountBounced]++
		}
		return
	}
	if Wants(e.Rec.Recipients[t.number].notify, kind) {
		e.reports[kind] = append(e.reports[kind], Reported{t.number, s, attempt})
	}
}

// Wants answers from NOTIFY whether a sender is told; absent, it stands for failure and delay (RFC
// 3461 section 4.1).
func Wants(n mail.Notify, kind ReportKind) bool {
	switch kind {
	case ReportFailure:
		return n == 0 || n&mail.NotifyFailure != 0
	case ReportDelay:
		return n == 0 || n&mail.NotifyDelay != 0
	}
	return n&mail.NotifySuccess != 0
}
