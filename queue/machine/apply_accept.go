package machine

import (
	"fmt"
	"time"
)

// Repeated accept commands are known for this long, in command time; a command that is older when
// it arrives is refused.
const AcceptMemory = 15 * time.Minute

// Chunks of a large message whose accept command has not come this long after the message's ID was
// made are given up.
const OrphanAge = time.Hour

// AcceptResult is all or nothing: the messages of a command are in the queue (or were before, and
// perhaps are delivered by now), or none.
type AcceptResult struct{ Ok bool }

// applyAccept takes messages in. It has no fence: a message is as good from an older term. A slot
// has one command under way, so its last number tells a repeated command, which is not applied
// again. A command is refused when it is older than what is remembered of slots.
func (m *Machine) applyAccept(parts [][]byte) any {
	c := &m.cmd
	last := m.slot(c.Slot)
	if c.Seq <= last.Seq {
		return AcceptResult{c.Seq == last.Seq && last.Ok}
	}
	if c.Time < m.Meta.Time-AcceptMemory.Milliseconds() || c.Slot.Session < m.Meta.slots ||
		m.Meta.sealed {
		return AcceptResult{}
	}
	ok := true
	for i, part := 0, 0; i < len(c.Accept) && ok; i++ {
		part, ok = m.accept(i, parts, part)
	}
	row := SlotRow{Seq: c.Seq, Time: c.Time, Ok: ok}
	if len(m.Slots) >= maxSlots {
		clear(m.Slots)
	}
	m.Slots[c.Slot] = row
	m.key = appendSlotKey(m.key[:0], c.Slot)
	m.set(m.key, row.Append(m.val[:0]))
	return AcceptResult{ok}
}

func (m *Machine) slot(l SlotKey) SlotRow {
	if row, ok := m.Slots[l]; ok {
		return row
	}
	m.key = appendSlotKey(m.key[:0], l)
	if v, ok := m.w.Get(m.key); ok {
		return must(DecodeSlotRow(v))
	}
	return SlotRow{}
}

// accept takes entry i of the command into the queue. Its parts begin at part; it returns where the
// next one's do. It fails only when chunks are missing, and such a command has one entry.
func (m *Machine) accept(i int, parts [][]byte, part int) (next int, ok bool) {
	c := &m.cmd
	e := &c.Accept[i]
	m.parts = m.parts[:0]
	if e.Chunks > 0 {
		if !m.gatherChunks(e) {
			return part, false
		}
	} else if part = m.GatherParts(e, parts, part); part < 0 {
		panic(fmt.Sprintf(
			"queue: message %v of entry %d has not the content it says", e.ID, m.index))
	}
	if losesAfterAck(e.ID) {
		return part, true
	}
	if e.report.Kind != 0 && !m.answerReport(e.report) {
		return part, true // made before: this one is not needed, nor its parts
	}
	m.takeIn(e)
	m.Events.Accepted(c, i, m.parts)
	return part, true
}

// takeIn writes the rows of a new message: its record and one schedule row for each domain.
// Content, schedule and counters are in the batch of the record, so a message is there as a whole
// or not at all. The record now keeps the parts, and nothing else does.
func (m *Machine) takeIn(e *AcceptEntry) {
	for n := range m.parts {
		if e.Chunks == 0 {
			m.w.KeepPart(m.index, m.parts[n].Part)
		} else {
			// the chunk row's hold on the part passes to the record
			m.key = AppendChunkKey(m.key[:0], e.ID, uint32(n))
			m.w.Delete(m.key)
		}
	}
	var flags byte
	if e.report.Kind != 0 {
		flags = FlagReport
	}
	m.key = AppendMessageKey(m.key[:0], e.ID)
	m.set(m.key, append(AppendHead(m.val[:0], flags, m.index, e.Size, m.parts), e.Envelope...))

	o := &m.Msg
	if err := o.Rec.EnvelopeView.Decode(e.Envelope); err != nil || len(o.Rec.Recipients) == 0 {
		panic(fmt.Sprintf("queue: envelope of message %v of entry %d: %v", e.ID, m.index, err))
	}
	o.ID = e.ID
	due := e.ID.Time().UnixMilli()
	for _, domain := range o.Rec.Domains {
		m.key = AppendScheduleKey(m.key[:0], domain, due, e.ID)
		m.w.Set(m.key, nil)
		m.Events.Scheduled(domain, due, o)
	}
	n := &m.Meta.Counters
	n[CountMessages]++
	n[CountAccepted]++
	n[CountBytes] += uint64(e.Size)
	n[CountState+Counter(Ready)] += uint64(len(o.Rec.Recipients))
}

// GatherParts refers to the command's parts with the entry's content; it returns -1 when they are
// not as the format says.
func (m *Machine) GatherParts(e *AcceptEntry, parts [][]byte, part int) int {
	left := e.Size
	for range PartsOf(e.Size) {
		n := min(left, PartSize)
		if part >= len(parts) || int64(len(parts[part])) != n {
			return -1
		}
		m.parts = append(m.parts, PartRef{Index: m.index, Part: part, Size: n})
		part, left = part+1, left-n
	}
	return part
}

// gatherChunks refers to the chunks that came before. They may have been swept meanwhile.
func (m *Machine) gatherChunks(e *AcceptEntry) bool {
	left := e.Size
	for seq := range e.Chunks {
		m.key = AppendChunkKey(m.key[:0], e.ID, seq)
		v, ok := m.w.Get(m.key)
		if !ok {
			return false
		}
		p := must(DecodeChunkRow(v))
		m.parts = append(m.parts, p)
		left -= p.Size
	}
	return left == 0
}

// applyChunk keeps one chunk. A repeated one is known by its row.
func (m *Machine) applyChunk(parts [][]byte) any {
	c := m.cmd.chunk
	if len(parts) != 1 {
		panic(
			fmt.Sprintf(
				"queue: chunk of message %v in entry %d has %d parts",
				c.ID,
				m.index,
				len(parts),
			),
		)
	}
	m.key = AppendChunkKey(m.key[:0], c.ID, c.Seq)
	if _, ok := m.w.Get(m.key); ok {
		return AcceptResult{true}
	}
	if m.orphaned(c) || m.Meta.sealed {
		return AcceptResult{} // its fellows may have been swept
	}
	m.w.KeepPart(m.index, 0)
	m.set(m.key, AppendChunkRow(m.val[:0], PartRef{Index: m.index, Size: int64(len(parts[0]))}))
	return AcceptResult{true}
}

func (m *Machine) orphaned(c ChunkRef) bool {
	return c.ID.Time().UnixMilli() < m.Meta.Time-OrphanAge.Milliseconds()
}

// applySweep drops what the owner found to be given up. It looks again: what is not old by command
// time stays.
func (m *Machine) applySweep() any {
	from, to := appendSlotKey(nil, SlotKey{}), appendSlotKey(nil, SlotKey{Session: m.cmd.Session})
	m.w.DeleteRange(from, to)
	m.Meta.slots = max(m.Meta.slots, m.cmd.Session)
	clear(m.Slots)
	for _, c := range m.cmd.chunks {
		m.key = AppendChunkKey(m.key[:0], c.ID, c.Seq)
		if v, ok := m.w.Get(m.key); ok && m.orphaned(c) {
			p := must(DecodeChunkRow(v))
			m.w.DropPart(p.Index, p.Part)
			m.w.Delete(m.key)
		}
	}
	return nil
}
