package machine

// This file is a hand-over in the group that the mail leaves. Nothing of it changes a recipient's
// state: the message goes as it is.

// OfferResult is the hand-over's serial; 0: another one is under way, or the owner is one of the
// past.
type OfferResult struct{ Serial uint64 }

func (m *Machine) handover() (h HandoverRow) {
	if v, ok := m.w.Get(HandoverKey); ok {
		h = must(DecodeHandoverRow(v))
	}
	return h
}

func (m *Machine) applyOffer() any {
	h := m.handover()
	if fenced(m.cmd.Session, m.Meta.Epoch) || h.Phase != HandoverIdle || m.Meta.sealed {
		return OfferResult{}
	}
	h.Phase, h.Serial, h.Target, h.Gone = HandoverCopy, m.index, m.cmd.Handover.target, nil
	m.set(HandoverKey, h.Append(m.val[:0]))
	return OfferResult{h.Serial}
}

// LetGoResult: not ok: the hand-over is another's, or has got further already.
type LetGoResult struct{ Ok bool }

// applyLetGo is the moment from which messages are the other group's. A message that has changed
// since it was copied stays. It is an owner's word, which knows that no attempt at these messages
// is under way or will begin.
func (m *Machine) applyLetGo() any {
	c, h := &m.cmd.Handover, m.handover()
	if fenced(m.cmd.Session, m.Meta.Epoch) || h.Phase != HandoverCopy || h.Serial != c.Serial {
		return LetGoResult{}
	}
	h.Phase, h.Gone = HandoverGone, nil
	for _, r := range c.refs {
		if m.open(r.ID) && m.Msg.counts.Reports == 0 && m.digest() == r.Digest {
			m.leave()
			h.Gone = append(h.Gone, r.ID)
		}
	}
	h.Total += uint64(len(h.Gone))
	m.set(HandoverKey, h.Append(m.val[:0]))
	return LetGoResult{true}
}

// digest is that of the opened message as it is now.
func (m *Machine) digest() Digest {
	e := &m.Msg
	rows := make([]RecipientRow, len(e.places))
	for n := range rows {
		rows[n] = m.recipient(uint32(n)).row
	}
	return DigestOf(AppendLetter(nil, &e.Rec, rows, &m.Meta))
}

// leave takes the opened message, whose recipients were all read, out of this group.
func (m *Machine) leave() {
	e := &m.Msg
	for i := range e.touched {
		t := &e.touched[i]
		if !t.row.State.Final() { // of final states the counters are of all time
			m.Meta.Counters[CountState+Counter(t.row.State)]--
		}
		t.row.State = Removed // for reschedule: it is in no schedule any more
	}
	m.reschedule()
	m.takeOut()
	m.Events.Changed(e)
}

// applyOver ends a hand-over whose end the other group knows.
func (m *Machine) applyOver() any {
	h := m.handover()
	if h.Phase == HandoverGone && h.Serial == m.cmd.Handover.Serial {
		h.Phase, h.Gone = HandoverIdle, nil
		m.set(HandoverKey, h.Append(m.val[:0]))
	}
	return nil
}
