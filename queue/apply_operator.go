package queue

import (
	"bytes"
	"slices"
)

// applyOperator applies an operator's verb and returns the recipients that it moved.
func (m *machine) applyOperator() any {
	refs := m.cmd.refs
	byID := func(a, b recipientRef) int { return bytes.Compare(a.ID[:], b.ID[:]) }
	if !slices.IsSortedFunc(refs, byID) {
		slices.SortStableFunc(refs, byID)
	}
	var moved []recipientRef
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
				m.events.changed(&m.msg)
			}
			m.close()
		}
		refs = refs[n:]
	}
	return moved
}

// operate applies the verb to one recipient; false when it has nothing to do there.
func (m *machine) operate(t *touched) bool {
	why, to := operatorReason[m.cmd.verb], operatorState[m.cmd.verb]
	if !allowed(t.row.state, to, why) || m.cmd.verb == verbFlush && t.row.due <= m.meta.time {
		return false
	}
	t.row.maybe = m.meta.maybeAttempted(&t.row) // before due changes
	t.dirty = true
	switch m.cmd.verb {
	case verbRelease, verbFlush:
		t.row.due = m.meta.time
	case verbFail:
		t.row.attempt = m.cmd.why
	}
	m.move(t, to, why)
	m.reportFinal(t, 0)
	return true
}

var operatorReason = [...]Reason{
	verbHold: OperatorHold, verbRelease: OperatorRelease, verbFlush: OperatorFlush,
	verbFail: OperatorFail, verbRemove: OperatorRemove,
}

var operatorState = [...]State{
	verbHold: Held, verbRelease: Ready, verbFlush: Ready, verbFail: Failed, verbRemove: Removed,
}

// answerReport takes a due report out because its message is accepted in this command, or nobody
// will make it. It reports false when the report is not due (any more).
func (m *machine) answerReport(r ReportID) bool {
	m.key = appendReportKey(m.key[:0], r)
	if _, ok := m.w.Get(m.key); !ok {
		return false
	}
	m.w.Delete(m.key)
	if !m.open(r.ID) {
		panic(
			"queue: a report is due on a message that is gone",
		) // the message stays until its reports are made
	}
	m.meta.counters[countReports]--
	m.msg.counts.reports--
	m.close()
	return true
}

func (m *machine) applyDrop() any {
	for _, r := range m.cmd.reports {
		m.answerReport(r)
	}
	return nil
}
