package queue

// This file is a hand-over in the group that the mail leaves. Nothing of it changes a recipient's
// state: the message goes as it is.

// offerResult is the hand-over's serial; 0: another one is under way, or the owner is one of the
// past.
type offerResult struct{ serial uint64 }

func (m *machine) handover() (h handoverRow) {
	if v, ok := m.w.Get(handoverKey); ok {
		h = must(decodeHandoverRow(v))
	}
	return h
}

func (m *machine) applyOffer() any {
	h := m.handover()
	if fenced(m.cmd.session, m.meta.epoch) || h.phase != handoverIdle || m.meta.sealed {
		return offerResult{}
	}
	h.phase, h.serial, h.target, h.gone = handoverCopy, m.index, m.cmd.handover.target, nil
	m.set(handoverKey, h.append(m.val[:0]))
	return offerResult{h.serial}
}

// letGoResult: not ok: the hand-over is another's, or has got further already.
type letGoResult struct{ ok bool }

// applyLetGo is the moment from which messages are the other group's. A message that has changed
// since it was copied stays. It is an owner's word, which knows that no attempt at these messages
// is under way or will begin.
func (m *machine) applyLetGo() any {
	c, h := &m.cmd.handover, m.handover()
	if fenced(m.cmd.session, m.meta.epoch) || h.phase != handoverCopy || h.serial != c.serial {
		return letGoResult{}
	}
	h.phase, h.gone = handoverGone, nil
	for _, r := range c.refs {
		if m.open(r.id) && m.msg.counts.reports == 0 && m.digest() == r.digest {
			m.leave()
			h.gone = append(h.gone, r.id)
		}
	}
	h.total += uint64(len(h.gone))
	m.set(handoverKey, h.append(m.val[:0]))
	return letGoResult{true}
}

// digest is that of the opened message as it is now.
func (m *machine) digest() digest {
	e := &m.msg
	rows := make([]recipientRow, len(e.places))
	for n := range rows {
		rows[n] = m.recipient(uint32(n)).row
	}
	return digestOf(appendLetter(nil, &e.rec, rows, &m.meta))
}

// leave takes the opened message, whose recipients were all read, out of this group.
func (m *machine) leave() {
	e := &m.msg
	for i := range e.touched {
		t := &e.touched[i]
		if !t.row.state.Final() { // of final states the counters are of all time
			m.meta.counters[countState+counter(t.row.state)]--
		}
		t.row.state = Removed // for reschedule: it is in no schedule any more
	}
	m.reschedule()
	m.takeOut()
	m.events.changed(e)
}

// applyOver ends a hand-over whose end the other group knows.
func (m *machine) applyOver() any {
	h := m.handover()
	if h.phase == handoverGone && h.serial == m.cmd.handover.serial {
		h.phase, h.gone = handoverIdle, nil
		m.set(handoverKey, h.append(m.val[:0]))
	}
	return nil
}
