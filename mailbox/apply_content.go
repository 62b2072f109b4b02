package mailbox

import "fmt"

// A chunk that no append has taken for this long is given up, in command time. Those of an earlier
// session are at once.
const orphanAge = 60 * 60 * 1000 // milliseconds

// gatherChunks finds the chunks of a large content. They may have been swept meanwhile.
func (m *machine) gatherChunks(e *deliveryEntry, row *contentRow) bool {
	row.first = 0
	left := e.size
	for seq := range e.chunks {
		m.key = appendChunkKey(m.key[:0], chunkKey{m.cmd.session, e.upload, seq})
		v, ok := m.w.Get(m.key)
		if !ok {
			return false
		}
		c := must(decodeChunkRow(v))
		if c.size != min(left, partSize) {
			return false
		}
		row.indexes, left = append(row.indexes, c.index), left-c.size
	}
	return left == 0
}

// keepContent writes the row of a new content and takes hold of its parts; when no message refers
// to it, its chunks go.
func (m *machine) keepContent(id contentID, row *contentRow, e *deliveryEntry) {
	for seq := range e.chunks { // the chunk row's hold on the part passes to the content
		m.key = appendChunkKey(m.key[:0], chunkKey{m.cmd.session, e.upload, seq})
		m.w.Delete(m.key)
		if row.refs == 0 {
			m.w.DropPart(row.indexes[seq], 0)
		}
	}
	if row.refs == 0 {
		return
	}
	if e.chunks == 0 {
		for n := range partsOf(e.size) {
			m.w.KeepPart(m.index, row.first+n)
		}
	}
	m.meta.counters[countContents]++
	m.meta.counters[countContentBytes] += uint64(row.size)
	m.setContent(id, row)
}

func (m *machine) setContent(id contentID, row *contentRow) {
	m.key = appendContentKey(m.key[:0], id)
	m.set(m.key, row.append(m.val[:0]))
}

func (m *machine) content(id contentID) contentRow {
	m.key = appendContentKey(m.key[:0], id)
	v, ok := m.w.Get(m.key)
	if !ok {
		panic(fmt.Sprintf("mailbox: a message has no content %v at entry %d", id, m.index))
	}
	return must(decodeContentRow(v))
}

// release takes one message's hold on a content away. With the last, the content goes. A part is
// kept by exactly one row, that of its chunk or that of its content.
func (m *machine) release(id contentID) {
	row := m.content(id)
	if row.refs--; row.refs > 0 {
		m.setContent(id, &row)
		return
	}
	for n := range partsOf(row.size) {
		p := row.part(id, n)
		m.w.DropPart(p.Index, p.Part)
	}
	m.key = appendContentKey(m.key[:0], id)
	m.w.Delete(m.key)
	m.meta.counters[countContents]--
	m.meta.counters[countContentBytes] -= uint64(row.size)
}

// applyChunk keeps one chunk.
func (m *machine) applyChunk(parts [][]byte) any {
	if len(parts) != 1 || len(parts[0]) > partSize {
		panic(fmt.Sprintf("mailbox: chunk in entry %d has %d parts", m.index, len(parts)))
	}
	m.key = appendChunkKey(m.key[:0], m.cmd.chunk)
	if _, ok := m.w.Get(m.key); ok {
		return verbResult{status: statusExists} // an upload's number given twice
	}
	m.w.KeepPart(m.index, 0)
	row := chunkRow{m.index, int64(len(parts[0])), m.meta.time}
	m.set(m.key, row.append(m.val[:0]))
	return verbResult{}
}

// applySweep drops what the owner found to be given up. It looks again: what is not old by command
// time stays.
func (m *machine) applySweep([][]byte) any {
	var r verbResult
	for _, c := range m.cmd.chunks {
		m.key = appendChunkKey(m.key[:0], c)
		v, ok := m.w.Get(m.key)
		if !ok {
			continue
		}
		if row := must(decodeChunkRow(v)); orphaned(c, &row, &m.meta) {
			m.w.DropPart(row.index, 0)
			m.w.Delete(m.key)
			r.count++
		}
	}
	return r
}

func orphaned(c chunkKey, row *chunkRow, m *meta) bool {
	return c.session < m.epoch || row.time < m.time-orphanAge
}
