package queue

import (
	"fmt"
	"time"
)

// Repeated accept commands are known for this long, in command time; a command that is older when
// it arrives is refused.
const acceptMemory = 15 * time.Minute

// Chunks of a large message whose accept command has not come this long after the message's ID was
// made are given up.
const orphanAge = time.Hour

// acceptResult is all or nothing: the messages of a command are in the queue (or were before, and
// perhaps are delivered by now), or none.
type acceptResult struct{ ok bool }

// applyAccept takes messages in. It has no fence: a message is as good from an older term. A slot
// has one command under way, so its last number tells a repeated command, which is not applied
// again. A command is refused when it is older than what is remembered of slots.
func (m *machine) applyAccept(parts [][]byte) any {
	c := &m.cmd
	last := m.slot(c.slot)
	if c.seq <= last.seq {
		return acceptResult{c.seq == last.seq && last.ok}
	}
	if c.time < m.meta.time-acceptMemory.Milliseconds() || c.slot.session < m.meta.slots ||
		m.meta.sealed {
		return acceptResult{}
	}
	ok := true
	for i, part := 0, 0; i < len(c.accept) && ok; i++ {
		part, ok = m.accept(i, parts, part)
	}
	row := slotRow{seq: c.seq, time: c.time, ok: ok}
	if len(m.slots) >= maxSlots {
		clear(m.slots)
	}
	m.slots[c.slot] = row
	m.key = appendSlotKey(m.key[:0], c.slot)
	m.set(m.key, row.append(m.val[:0]))
	return acceptResult{ok}
}

func (m *machine) slot(l slotKey) slotRow {
	if row, ok := m.slots[l]; ok {
		return row
	}
	m.key = appendSlotKey(m.key[:0], l)
	if v, ok := m.w.Get(m.key); ok {
		return must(decodeSlotRow(v))
	}
	return slotRow{}
}

// accept takes entry i of the command into the queue. Its parts begin at part; it returns where the
// next one's do. It fails only when chunks are missing, and such a command has one entry.
func (m *machine) accept(i int, parts [][]byte, part int) (next int, ok bool) {
	c := &m.cmd
	e := &c.accept[i]
	m.parts = m.parts[:0]
	if e.chunks > 0 {
		if !m.gatherChunks(e) {
			return part, false
		}
	} else if part = m.gatherParts(e, parts, part); part < 0 {
		panic(fmt.Sprintf(
			"queue: message %v of entry %d has not the content it says", e.id, m.index))
	}
	if losesAfterAck(e.id) {
		return part, true
	}
	if e.report.Kind != 0 && !m.answerReport(e.report) {
		return part, true // made before: this one is not needed, nor its parts
	}
	m.takeIn(e)
	m.events.accepted(c, i, m.parts)
	return part, true
}

// takeIn writes the rows of a new message: its record and one schedule row for each domain.
// Content, schedule and counters are in the batch of the record, so a message is there as a whole
// or not at all. The record now keeps the parts, and nothing else does.
func (m *machine) takeIn(e *acceptEntry) {
	for n := range m.parts {
		if e.chunks == 0 {
			m.w.KeepPart(m.index, m.parts[n].Part)
		} else {
			// the chunk row's hold on the part passes to the record
			m.key = appendChunkKey(m.key[:0], e.id, uint32(n))
			m.w.Delete(m.key)
		}
	}
	var flags byte
	if e.report.Kind != 0 {
		flags = flagReport
	}
	m.key = appendMessageKey(m.key[:0], e.id)
	m.set(m.key, append(appendHead(m.val[:0], flags, m.index, e.size, m.parts), e.envelope...))

	o := &m.msg
	if err := o.rec.envelopeView.decode(e.envelope); err != nil || len(o.rec.recipients) == 0 {
		panic(fmt.Sprintf("queue: envelope of message %v of entry %d: %v", e.id, m.index, err))
	}
	o.id = e.id
	due := e.id.Time().UnixMilli()
	for _, domain := range o.rec.domains {
		m.key = appendScheduleKey(m.key[:0], domain, due, e.id)
		m.w.Set(m.key, nil)
		m.events.scheduled(domain, due, o)
	}
	n := &m.meta.counters
	n[countMessages]++
	n[countAccepted]++
	n[countBytes] += uint64(e.size)
	n[countState+counter(Ready)] += uint64(len(o.rec.recipients))
}

// gatherParts refers to the command's parts with the entry's content; it returns -1 when they are
// not as the format says.
func (m *machine) gatherParts(e *acceptEntry, parts [][]byte, part int) int {
	left := e.size
	for range partsOf(e.size) {
		n := min(left, partSize)
		if part >= len(parts) || int64(len(parts[part])) != n {
			return -1
		}
		m.parts = append(m.parts, PartRef{Index: m.index, Part: part, Size: n})
		part, left = part+1, left-n
	}
	return part
}

// gatherChunks refers to the chunks that came before. They may have been swept meanwhile.
func (m *machine) gatherChunks(e *acceptEntry) bool {
	left := e.size
	for seq := range e.chunks {
		m.key = appendChunkKey(m.key[:0], e.id, seq)
		v, ok := m.w.Get(m.key)
		if !ok {
			return false
		}
		p := must(decodeChunkRow(v))
		m.parts = append(m.parts, p)
		left -= p.Size
	}
	return left == 0
}

// applyChunk keeps one chunk. A repeated one is known by its row.
func (m *machine) applyChunk(parts [][]byte) any {
	c := m.cmd.chunk
	if len(parts) != 1 {
		panic(
			fmt.Sprintf(
				"queue: chunk of message %v in entry %d has %d parts",
				c.id,
				m.index,
				len(parts),
			),
		)
	}
	m.key = appendChunkKey(m.key[:0], c.id, c.seq)
	if _, ok := m.w.Get(m.key); ok {
		return acceptResult{true}
	}
	if m.orphaned(c) || m.meta.sealed {
		return acceptResult{} // its fellows may have been swept
	}
	m.w.KeepPart(m.index, 0)
	m.set(m.key, appendChunkRow(m.val[:0], PartRef{Index: m.index, Size: int64(len(parts[0]))}))
	return acceptResult{true}
}

func (m *machine) orphaned(c chunkRef) bool {
	return c.id.Time().UnixMilli() < m.meta.time-orphanAge.Milliseconds()
}

// applySweep drops what the owner found to be given up. It looks again: what is not old by command
// time stays.
func (m *machine) applySweep() any {
	from, to := appendSlotKey(nil, slotKey{}), appendSlotKey(nil, slotKey{session: m.cmd.session})
	m.w.DeleteRange(from, to)
	m.meta.slots = max(m.meta.slots, m.cmd.session)
	clear(m.slots)
	for _, c := range m.cmd.chunks {
		m.key = appendChunkKey(m.key[:0], c.id, c.seq)
		if v, ok := m.w.Get(m.key); ok && m.orphaned(c) {
			p := must(decodeChunkRow(v))
			m.w.DropPart(p.Index, p.Part)
			m.w.Delete(m.key)
		}
	}
	return nil
}
