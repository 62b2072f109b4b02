package mailbox

import (
	"bytes"
	"fmt"
	"math"
)

// applyAppend drops dedup records and appends the items of each delivery.
func (m *machine) applyAppend(parts [][]byte) any {
	c := &m.cmd
	for _, r := range c.drops {
		m.dropDedup(r)
	}
	results := make(appendResult, len(c.items))
	part := 0
	for n := range c.deliveries {
		part = m.deliver(n, parts, part, results)
	}
	if part != len(parts) {
		panic(fmt.Sprintf("mailbox: entry %d has %d parts, want %d", m.index, len(parts), part))
	}
	return results
}

// dropDedup drops a record: the queue has settled the recipient, so no append of it can come any
// more.
func (m *machine) dropDedup(r DedupRecord) {
	m.key = appendRecordKey(m.key[:0], r)
	if _, ok := m.w.Get(m.key); ok {
		m.w.Delete(m.key)
		m.meta.counters[countDedupRecords]--
	}
}

// deliver appends the items of a delivery. Its parts begin at part; it returns where the next one's
// do. The content is kept once, if any item took it.
func (m *machine) deliver(n int, parts [][]byte, part int, results []Result) (next int) {
	e := &m.cmd.deliveries[n]
	row := contentRow{size: e.size, first: part}
	if e.chunks == 0 {
		for range partsOf(e.size) {
			if part >= len(parts) ||
				int64(len(parts[part])) != min(partSize, e.size-int64(part-row.first)*partSize) {
				panic(
					fmt.Sprintf(
						"mailbox: delivery %d of entry %d has not the content it says",
						n,
						m.index,
					),
				)
			}
			part++
		}
	} else if !m.gatherChunks(e, &row) {
		for i := e.from; i < e.to; i++ {
			results[i] = Result{Code: Again}
		}
		return part
	}
	id := contentID{m.index, uint32(n)}
	for i := e.from; i < e.to; i++ {
		if results[i] = m.item(&m.cmd.items[i], id, e.size); results[i].Code == Stored {
			row.refs++
		}
	}
	m.keepContent(id, &row, e)
	return part
}

// item appends one message. An append under a known key is not done again, whatever became of the
// message: its dedup record is a row of its own, which no verb of a user touches. The content row
// is written by the caller.
func (m *machine) item(it *itemEntry, id contentID, size int64) Result {
	var copies uint64
	if it.keyed {
		if copies = m.copies(it.key); copies&(1<<it.copy) != 0 {
			m.meta.counters[countDuplicates]++
			return Result{Code: Duplicate}
		}
	}
	box := m.box(it.address)
	if box == nil {
		return Result{Code: NoMailbox}
	}
	size += int64(len(it.prefix))
	if !it.over && !box.room(uint64(size)) {
		return Result{Code: Full}
	}
	folder, found := m.destination(box, it.folder)
	if folder.next == math.MaxUint32 {
		return Result{
			Code: Full,
		} // after four thousand million messages, a folder has no more numbers
	}
	date := it.date
	if date == 0 {
		date = m.meta.time
	}
	m.val = appendTail(m.val[:0], size, date, id, it.prefix)
	tail := m.val
	row := messageRow{flags: it.flags, saved: m.meta.time, size: size, tail: tail}
	uid := m.put(folder, &row)
	if it.keyed {
		m.record(it.key, copies|1<<it.copy)
	}
	m.meta.counters[countAppended]++
	return Result{Code: Stored, UID: uid, InInbox: !found, Warn: box.warn()}
}

// destination returns the folder of that name, or the inbox.
func (m *machine) destination(box *openBox, name []byte) (f *openFolder, found bool) {
	if len(name) > 0 {
		if number := m.byName(box, name); number != 0 {
			return m.folder(box, number), true
		}
	}
	if f = m.folder(box, Inbox); f == nil {
		panic(fmt.Sprintf("mailbox: %q has no inbox at entry %d", box.address, m.index))
	}
	return f, len(name) == 0
}

// room reports whether the hard quota leaves room for so many octets more.
func (b *openBox) room(size uint64) bool {
	hard := uint64(b.settings.Hard)
	return hard == 0 || b.bytes+size <= hard
}

// warn reports whether the owner of the mailbox is to be told now that it is over its soft quota.
func (b *openBox) warn() bool {
	if soft := uint64(b.settings.Soft); b.warned || soft == 0 || b.bytes <= soft {
		return false
	}
	b.warned = true
	return true
}

func (m *machine) copies(r DedupRecord) uint64 {
	if m.recent.absent(r) {
		return 0
	}
	m.key = appendRecordKey(m.key[:0], r)
	if v, ok := m.w.Get(m.key); ok {
		return must(decodeRecordRow(v))
	}
	return 0
}

func (m *machine) record(r DedupRecord, copies uint64) {
	if copies&(copies-1) == 0 { // the first
		m.meta.counters[countDedupRecords]++
		m.recent.add(r)
		if bytes.Compare(r.ID[:], m.meta.newest[:]) > 0 {
			m.meta.newest = r.ID
		}
	}
	m.key = appendRecordKey(m.key[:0], r)
	m.small = appendRecordRow(m.small[:0], copies)
	m.w.Set(m.key, m.small)
}
