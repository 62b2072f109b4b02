package queue

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

// takeResult: not ok: the hand-over has ended, or this group takes nothing any more.
type takeResult struct{ ok bool }

func (m *machine) incoming(source uint64) (in incomingRow) {
	m.key = appendIncomingKey(m.key[:0], source)
	if v, ok := m.w.Get(m.key); ok {
		in = must(decodeIncomingState(v))
	}
	return in
}

func (m *machine) setIncoming(source uint64, in *incomingRow) {
	m.key = appendIncomingKey(m.key[:0], source)
	m.set(m.key, in.append(m.val[:0]))
}

// receives reports whether something of the command's hand-over is taken: it is under way, or may
// begin.
func (m *machine) receives(in *incomingRow) bool {
	serial := m.cmd.handover.serial
	return !tooLate(serial, in.over) && !m.meta.sealed && (in.serial == 0 || in.serial == serial)
}

// begin notes that the command's hand-over is under way.
func (m *machine) begin(in *incomingRow) {
	if in.serial == 0 {
		in.serial = m.cmd.handover.serial
		m.meta.incoming++
	}
}

// applyBring keeps one chunk of a large message. They come in order; one that comes twice is known
// by its number.
func (m *machine) applyBring(parts [][]byte) any {
	c := &m.cmd.handover
	if len(parts) != 1 {
		panic(
			fmt.Sprintf(
				"queue: chunk of message %v in entry %d has %d parts",
				c.chunk.id,
				m.index,
				len(parts),
			),
		)
	}
	in := m.incoming(c.source)
	if !m.receives(&in) {
		return takeResult{}
	}
	if slices.Contains(in.ids, c.chunk.id) ||
		in.chunks > 0 && in.chunked == c.chunk.id && c.chunk.seq < in.chunks {
		return takeResult{true}
	}
	if in.chunks > 0 && in.chunked != c.chunk.id || c.chunk.seq != in.chunks {
		return takeResult{}
	}
	m.begin(&in)
	in.chunked, in.chunks = c.chunk.id, in.chunks+1
	m.w.KeepPart(m.index, 0)
	m.key = appendIncomingChunkKey(m.key[:0], c.source, c.chunk.id, c.chunk.seq)
	m.set(m.key, appendChunkRow(m.val[:0], PartRef{Index: m.index, Size: int64(len(parts[0]))}))
	m.setIncoming(c.source, &in)
	return takeResult{true}
}

// applyTake puts letters aside. One that came before is known by its row.
func (m *machine) applyTake(parts [][]byte) any {
	c := &m.cmd.handover
	in := m.incoming(c.source)
	if !m.receives(&in) {
		return takeResult{}
	}
	m.begin(&in)
	ok := true
	for i, part := 0, 0; i < len(c.letters); i++ {
		l := &c.letters[i]
		m.parts = m.parts[:0]
		if l.chunks == 0 {
			if part = m.gatherParts(&acceptEntry{size: l.size}, parts, part); part < 0 {
				panic(
					fmt.Sprintf(
						"queue: letter %v of entry %d has not the content it says",
						l.id,
						m.index,
					),
				)
			}
		}
		ok = m.putAside(&in, l) && ok
	}
	m.setIncoming(c.source, &in)
	return takeResult{ok}
}

// putAside writes the row of a letter whose parts, unless it came in chunks, are in m.parts. It
// fails when chunks are missing, or too many letters come.
func (m *machine) putAside(in *incomingRow, l *letter) bool {
	source := m.cmd.handover.source
	if slices.Contains(in.ids, l.id) {
		return true
	}
	if len(in.ids) == handoverMost || l.chunks > 0 && !m.gatherIncoming(in, l) {
		return false
	}
	if l.chunks == 0 {
		for n := range m.parts {
			m.w.KeepPart(m.index, m.parts[n].Part)
		}
	}
	in.ids = append(in.ids, l.id)
	m.key = appendIncomingLetterKey(m.key[:0], source, l.id)
	m.set(m.key, appendIncomingRow(m.val[:0], m.parts, l.encoded))
	return true
}

// gatherIncoming refers to the chunks that came before; their rows' hold on the parts passes to the
// letter's row.
func (m *machine) gatherIncoming(in *incomingRow, l *letter) bool {
	if in.chunked != l.id || in.chunks != l.chunks {
		return false
	}
	left := l.size
	for seq := range in.chunks {
		p := m.incomingChunk(l.id, seq)
		m.parts = append(m.parts, p)
		left -= p.Size
	}
	if left != 0 {
		return false
	}
	for seq := range in.chunks {
		m.w.Delete(appendIncomingChunkKey(m.key[:0], m.cmd.handover.source, l.id, seq))
	}
	in.chunked, in.chunks = mail.ID{}, 0
	return true
}

func (m *machine) incomingChunk(id mail.ID, seq uint32) PartRef {
	m.key = appendIncomingChunkKey(m.key[:0], m.cmd.handover.source, id, seq)
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
	return must(decodeChunkRow(v))
}

// finishResult: not ok: another hand-over of that group is under way.
type finishResult struct{ ok bool }

// applyFinish makes those letters this group's own that the other has let go, and drops the others.
// Hand-overs up to this one have ended.
func (m *machine) applyFinish() any {
	c := &m.cmd.handover
	in := m.incoming(c.source)
	switch {
	case in.serial > c.serial || c.serial <= in.over:
		return finishResult{true} // it ended long ago
	case in.serial != 0 && in.serial < c.serial:
		return finishResult{}
	}
	for _, id := range in.ids {
		m.settleLetter(id, slices.Contains(c.ids, id))
	}
	for seq := range in.chunks {
		p := m.incomingChunk(in.chunked, seq)
		m.w.DropPart(p.Index, p.Part)
		m.w.Delete(m.key)
	}
	if in.serial != 0 {
		m.meta.incoming--
	}
	m.setIncoming(c.source, &incomingRow{over: c.serial})
	return finishResult{true}
}

// settleLetter takes a letter's row away, and the message in if it is ours now.
func (m *machine) settleLetter(id mail.ID, ours bool) {
	m.key = appendIncomingLetterKey(m.key[:0], m.cmd.handover.source, id)
	v, ok := m.w.Get(m.key)
	if !ok {
		panic(fmt.Sprintf("queue: message %v, which came from another group, has no row", id))
	}
	parts, l, err := decodeIncomingRow(bytes.Clone(v))
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
func (m *machine) welcome(id mail.ID, l *letter, parts []PartRef) {
	m.key = appendMessageKey(m.key[:0], id)
	m.set(m.key, append(appendHead(m.val[:0], l.flags, m.index, l.size, parts), l.envelope...))
	if !m.open(id) || len(m.msg.places) != len(l.rows) {
		panic(
			fmt.Sprintf(
				"queue: message %v of entry %d came from another group without its recipients",
				id,
				m.index,
			),
		)
	}
	e, n := &m.msg, &m.meta.counters
	e.counts.remaining = 0
	for i, row := range l.rows {
		row.index = m.index
		if !row.state.Final() {
			e.counts.remaining++
			n[countState+counter(row.state)]++
		}
		e.touched = append(
			e.touched,
			touched{number: uint32(i), row: row, dirty: true, was: Removed},
		)
		e.places[i] = int32(i + 1)
	}
	n[countMessages]++
	n[countBytes] += uint64(l.size)
	m.events.changed(e)
	m.close()
}
