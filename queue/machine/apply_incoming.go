package machine

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/postroad/postroad/internal/mail"
)

// This file is a hand-over in the group that the mail goes to. Letters that have come lie aside, in
// no schedule and no counter, until the group that they came from has let them go and says so. The
// group keeps of each other group which of its hand-overs have ended: a copy that was long on its
// way brings nothing back.

// TakeResult: not ok: the hand-over has ended, or this group takes nothing any more.
type TakeResult struct{ Ok bool }

func (m *Machine) incoming(source uint64) (in IncomingRow) {
	m.key = appendIncomingKey(m.key[:0], source)
	if v, ok := m.w.Get(m.key); ok {
		in = must(DecodeIncomingState(v))
	}
	return in
}

func (m *Machine) setIncoming(source uint64, in *IncomingRow) {
	m.key = appendIncomingKey(m.key[:0], source)
	m.set(m.key, in.Append(m.val[:0]))
}

// receives reports whether something of the command's hand-over is taken: it is under way, or may
// begin.
func (m *Machine) receives(in *IncomingRow) bool {
	serial := m.cmd.Handover.Serial
	return !tooLate(serial, in.Over) && !m.Meta.sealed && (in.Serial == 0 || in.Serial == serial)
}

// begin notes that the command's hand-over is under way.
func (m *Machine) begin(in *IncomingRow) {
	if in.Serial == 0 {
		in.Serial = m.cmd.Handover.Serial
		m.Meta.Incoming++
	}
}

// applyBring keeps one chunk of a large message. They come in order; one that comes twice is known
// by its number.
func (m *Machine) applyBring(parts [][]byte) any {
	c := &m.cmd.Handover
	if len(parts) != 1 {
		panic(
			fmt.Sprintf(
				"queue: chunk of message %v in entry %d has %d parts",
				c.chunk.ID,
				m.index,
				len(parts),
			),
		)
	}
	in := m.incoming(c.Source)
	if !m.receives(&in) {
		return TakeResult{}
	}
	if slices.Contains(in.IDs, c.chunk.ID) ||
		in.Chunks > 0 && in.Chunked == c.chunk.ID && c.chunk.Seq < in.Chunks {
		return TakeResult{true}
	}
	if in.Chunks > 0 && in.Chunked != c.chunk.ID || c.chunk.Seq != in.Chunks {
		return TakeResult{}
	}
	m.begin(&in)
	in.Chunked, in.Chunks = c.chunk.ID, in.Chunks+1
	m.w.KeepPart(m.index, 0)
	m.key = appendIncomingChunkKey(m.key[:0], c.Source, c.chunk.ID, c.chunk.Seq)
	m.set(m.key, AppendChunkRow(m.val[:0], PartRef{Index: m.index, Size: int64(len(parts[0]))}))
	m.setIncoming(c.Source, &in)
	return TakeResult{true}
}

// applyTake puts letters aside. One that came before is known by its row.
func (m *Machine) applyTake(parts [][]byte) any {
	c := &m.cmd.Handover
	in := m.incoming(c.Source)
	if !m.receives(&in) {
		return TakeResult{}
	}
	m.begin(&in)
	ok := true
	for i, part := 0, 0; i < len(c.Letters); i++ {
		l := &c.Letters[i]
		m.parts = m.parts[:0]
		if l.Chunks == 0 {
			if part = m.GatherParts(&AcceptEntry{Size: l.Size}, parts, part); part < 0 {
				panic(
					fmt.Sprintf(
						"queue: letter %v of entry %d has not the content it says",
						l.ID,
						m.index,
					),
				)
			}
		}
		ok = m.putAside(&in, l) && ok
	}
	m.setIncoming(c.Source, &in)
	return TakeResult{ok}
}

// putAside writes the row of a letter whose parts, unless it came in chunks, are in m.parts. It
// fails when chunks are missing, or too many letters come.
func (m *Machine) putAside(in *IncomingRow, l *Letter) bool {
	source := m.cmd.Handover.Source
	if slices.Contains(in.IDs, l.ID) {
		return true
	}
	if len(in.IDs) == HandoverMost || l.Chunks > 0 && !m.gatherIncoming(in, l) {
		return false
	}
	if l.Chunks == 0 {
		for n := range m.parts {
			m.w.KeepPart(m.index, m.parts[n].Part)
		}
	}
	in.IDs = append(in.IDs, l.ID)
	m.key = appendIncomingLetterKey(m.key[:0], source, l.ID)
	m.set(m.key, AppendIncomingRow(m.val[:0], m.parts, l.Encoded))
	return true
}

// gatherIncoming refers to the chunks that came before; their rows' hold on the parts passes to the
// letter's row.
func (m *Machine) gatherIncoming(in *IncomingRow, l *Letter) bool {
	if in.Chunked != l.ID || in.Chunks != l.Chunks {
		return false
	}
	left := l.Size
	for seq := range in.Chunks {
		p := m.incomingChunk(l.ID, seq)
		m.parts = append(m.parts, p)
		left -= p.Size
	}
	if left != 0 {
		return false
	}
	for seq := range in.Chunks {
		m.w.Delete(appendIncomingChunkKey(m.key[:0], m.cmd.Handover.Source, l.ID, seq))
	}
	in.Chunked, in.Chunks = mail.ID{}, 0
	return true
}

func (m *Machine) incomingChunk(id mail.ID, seq uint32) PartRef {
	m.key = appendIncomingChunkKey(m.key[:0], m.cmd.Handover.Source, id, seq)
	v, ok := m.w.Get(m.key)
	if !ok {
		panic(
			fmt.Sprintf(
				"queue: chunk %d of message %v, which came from another group, has no row",
				seq,
				id,
			),
		)
	}
	return must(DecodeChunkRow(v))
}

// FinishResult: not ok: another hand-over of that group is under way.
type FinishResult struct{ Ok bool }

// applyFinish makes those letters this group's own that the other has let go, and drops the others.
// Hand-overs up to this one have ended.
func (m *Machine) applyFinish() any {
	c := &m.cmd.Handover
	in := m.incoming(c.Source)
	switch {
	case in.Serial > c.Serial || c.Serial <= in.Over:
		return FinishResult{true} // it ended long ago
	case in.Serial != 0 && in.Serial < c.Serial:
		return FinishResult{}
	}
	for _, id := range in.IDs {
		m.settleLetter(id, slices.Contains(c.ids, id))
	}
	for seq := range in.Chunks {
		p := m.incomingChunk(in.Chunked, seq)
		m.w.DropPart(p.Index, p.Part)
		m.w.Delete(m.key)
	}
	if in.Serial != 0 {
		m.Meta.Incoming--
	}
	m.setIncoming(c.Source, &IncomingRow{Over: c.Serial})
	return FinishResult{true}
}

// settleLetter takes a letter's row away, and the message in if it is ours now.
func (m *Machine) settleLetter(id mail.ID, ours bool) {
	m.key = appendIncomingLetterKey(m.key[:0], m.cmd.Handover.Source, id)
	v, ok := m.w.Get(m.key)
	if !ok {
		panic(fmt.Sprintf("queue: message %v, which came from another group, has no row", id))
	}
	parts, l, err := DecodeIncomingRow(bytes.Clone(v))
	if err != nil {
		panic(fmt.Sprintf("queue: message %v, which came from another group: %v", id, err))
	}
	m.w.Delete(m.key)
	if ours && !m.open(id) {
		m.welcome(id, &l, parts)
		return
	}
	for _, p := range parts {
		m.w.DropPart(p.Index, p.Part)
	}
}

// welcome makes a letter a message of this group. Each recipient gets a row: what it was there it
// is here, but for the entry that it is counted from.
func (m *Machine) welcome(id mail.ID, l *Letter, parts []PartRef) {
	m.key = AppendMessageKey(m.key[:0], id)
	m.set(m.key, append(AppendHead(m.val[:0], l.Flags, m.index, l.Size, parts), l.Envelope...))
	if !m.open(id) || len(m.Msg.places) != len(l.Rows) {
		panic(
			fmt.Sprintf(
				"queue: message %v of entry %d came from another group without its recipients",
				id,
				m.index,
			),
		)
	}
	e, n := &m.Msg, &m.Meta.Counters
	e.counts.Remaining = 0
	for i, row := range l.Rows {
		row.Index = m.index
		if !row.State.Final() {
			e.counts.Remaining++
			n[CountState+Counter(row.State)]++
		}
		e.touched = append(
			e.touched,
			touched{number: uint32(i), row: row, dirty: true, was: Removed},
		)
		e.places[i] = int32(i + 1)
	}
	n[CountMessages]++
	n[CountBytes] += uint64(l.Size)
	m.Events.Changed(e)
	m.close()
}
