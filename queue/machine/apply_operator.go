package machine

import (
	"bytes"
	"slices"
)

// applyOperator applies an operator's verb and returns the recipients that it moved.
func (m *Machine) applyOperator() any {
	refs := m.cmd.refs
	byID := func(a, b RecipientRef) int { return bytes.Compare(a.ID[:], b.ID[:]) }
	if !slices.IsSortedFunc(refs, byID) {
		slices.SortStableFunc(refs, byID)
	}
	var moved []RecipientRef
	for len(refs) > 0 {
		n := 1
		for n < len(refs) && refs[n].ID == refs[0].ID {
			n++
		}
		if m.open(refs[0].ID) {
			before := len(moved)
			for _, r := range refs[:n] {
				if t := m.recipient(r.Number); t != nil && m.operate(t) {
					moved = append(moved, r)
				}
			}
			if len(moved) > before {
				m.Events.Changed(&m.Msg)
			}
			m.close()
		}
		refs = refs[n:]
	}
	return moved
}

// operate applies the verb to one recipient; false when it has nothing to do there.
func (m *Machine) operate(t *touched) bool {
	why, to := operatorReason[m.cmd.verb], OperatorState[m.cmd.verb]
	if !allowed(t.row.State, to, why) || m.cmd.verb == VerbFlush && t.row.Due <= m.Meta.Time {
		return false
	}
	t.row.Maybe = m.Meta.MaybeAttempted(&t.row) // before due changes
	t.dirty = true
	switch m.cmd.verb {
	case VerbRelease, VerbFlush:
		t.row.Due = m.Meta.Time
	case VerbFail:
		t.row.Attempt = m.cmd.why
	}
	m.move(t, to, why)
	m.reportFinal(t, 0)
	return true
}

var operatorReason = [...]Reason{
	VerbHold: OperatorHold, VerbRelease: OperatorRelease, VerbFlush: OperatorFlush,
	VerbFail: OperatorFail, VerbRemove: OperatorRemove,
}

// OperatorState is the state that each verb of an operator leads to.
var OperatorState = [...]State{
	VerbHold: Held, VerbRelease: Ready, VerbFlush: Ready, VerbFail: Failed, VerbRemove: Removed,
}

// answerReport takes a due report out because its message is accepted in this command, or nobody
// will make it. It reports false when the report is not due (any more).
func (m *Machine) answerReport(r ReportID) bool {
	m.key = AppendReportKey(m.key[:0], r)
	if _, ok := m.w.Get(m.key); !ok {
		return false
	}
	m.w.Delete(m.key)
	if !m.open(r.ID) {
		panic(
			"queue: a report is due on a message that is gone",
		) // the message stays until its reports are made
	}
	m.Meta.Counters[CountReports]--
	m.Msg.counts.Reports--
	m.close()
	return true
}

func (m *Machine) applyDrop() any {
	for _, r := range m.cmd.reports {
		m.answerReport(r)
	}
	return nil
}
