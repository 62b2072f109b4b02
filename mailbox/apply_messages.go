package mailbox

import "math"

// put writes a message into a folder under its next UID, which is never given again, and counts it:
// the totals are in the batch of what they count. The row's tail may lie in m.val.
func (m *machine) put(f *openFolder, row *messageRow) UID {
	row.modSeq = f.touch()
	uid := f.next
	f.next++
	m.writeMessage(f, uid, row)
	f.count(row, 1)
	m.meta.counters[countMessages]++
	m.meta.counters[countBytes] += uint64(row.size)
	return uid
}

func (m *machine) writeMessage(f *openFolder, uid UID, row *messageRow) {
	m.key = appendMessageKey(m.key[:0], f.box.number, f.number, uid)
	m.small = row.append(m.small[:0])
	m.w.Set(m.key, m.small)
}

// count adds a message to the totals of its folder and mailbox, or takes it away (by -1).
func (f *openFolder) count(row *messageRow, by int64) {
	n, size := uint64(by), uint64(by*row.size)
	f.messages, f.bytes = f.messages+n, f.bytes+size
	f.box.messages, f.box.bytes = f.box.messages+n, f.box.bytes+size
	f.mark(row.flags, n)
}

func (f *openFolder) mark(flags Flags, by uint64) {
	if flags&Seen == 0 {
		f.unseen += by
	}
	if flags&Deleted != 0 {
		f.deleted += by
	}
}

// message reads a message of the folder. The row is valid until the next call of Writer.
func (m *machine) message(f *openFolder, uid UID) (row messageRow, ok bool) {
	m.key = appendMessageKey(m.key[:0], f.box.number, f.number, uid)
	v, ok := m.w.Get(m.key)
	if !ok {
		return row, false
	}
	return must(decodeMessageRow(v)), true
}

// refersTo returns the content of a message row.
func refersTo(row *messageRow) contentID {
	id, _, err := body(row.rest)
	return must(id, err)
}

// remove takes a message out of its folder. It leaves its hold on the content to the caller.
func (m *machine) remove(f *openFolder, uid UID, row *messageRow) {
	f.touch()
	f.count(row, -1)
	m.key = appendMessageKey(m.key[:0], f.box.number, f.number, uid)
	m.w.Delete(m.key)
	m.meta.counters[countMessages]--
	m.meta.counters[countBytes] -= uint64(row.size)
}

func (m *machine) applyFlags([][]byte) any {
	c := &m.cmd
	f, s := m.target()
	r := verbResult{status: s}
	if f == nil {
		return r
	}
	for _, uid := range c.uids {
		row, ok := m.message(f, uid)
		if !ok {
			continue
		}
		if c.since != 0 && row.modSeq > c.since {
			r.uids = append(r.uids, uid)
			continue
		}
		flags := c.op.apply(row.flags, c.flags)
		if flags == row.flags {
			continue
		}
		f.mark(row.flags, math.MaxUint64) // minus one
		f.mark(flags, 1)
		row.flags, row.modSeq = flags, f.touch()
		m.writeMessage(f, uid, &row)
		r.count++
	}
	r.modSeq = f.modSeq
	return r
}

// expunge removes messages of a folder for which want holds, and lets their contents go.
func (m *machine) expunge(f *openFolder, want func(*messageRow) bool) any {
	r := verbResult{}
	for _, uid := range m.cmd.uids {
		row, ok := m.message(f, uid)
		if !ok || !want(&row) {
			continue
		}
		id := refersTo(&row)
		m.remove(f, uid, &row)
		m.release(id)
		r.count++
	}
	r.modSeq = f.modSeq
	return r
}

func (m *machine) applyExpunge([][]byte) any {
	f, s := m.target()
	if f == nil {
		return verbResult{status: s}
	}
	return m.expunge(
		f,
		func(row *messageRow) bool { return !m.cmd.marked || row.flags&Deleted != 0 },
	)
}

// applyRetain removes what the owner found to be old. It looks again, by command time and by what
// is set now.
func (m *machine) applyRetain([][]byte) any {
	f, s := m.target()
	if f == nil {
		return verbResult{status: s}
	}
	keep := retention(&f.folderRow, &f.box.boxRow)
	return m.expunge(
		f,
		func(row *messageRow) bool { return keep > 0 && row.saved+keep <= m.meta.time },
	)
}

// retention returns how long messages stay in a folder, in milliseconds, 0: for ever.
func retention(f *folderRow, b *boxRow) int64 {
	if f.retention != 0 {
		return f.retention
	}
	return b.settings.Retention.Milliseconds()
}

// applyUpdate removes what a POP3 session deleted, unless a later one has the mailbox.
func (m *machine) applyUpdate([][]byte) any {
	f, s := m.target()
	if f == nil {
		return verbResult{status: s}
	}
	if !f.box.takeLock(m.cmd.session, m.cmd.lock) {
		return verbResult{status: statusStaleLock}
	}
	return m.expunge(f, func(*messageRow) bool { return true })
}

func (m *machine) applyFenceLock([][]byte) any {
	b := m.named()
	switch {
	case b == nil:
		return verbResult{status: statusNoMailbox}
	case !b.takeLock(m.cmd.session, m.cmd.lock):
		return verbResult{status: statusStaleLock}
	}
	return verbResult{}
}

// takeLock notes the newest lock that was heard of. Locks of earlier sessions ended with them.
func (b *openBox) takeLock(session, lock uint64) bool {
	if b.lockSession == session && lock < b.lock {
		return false
	}
	b.lockSession, b.lock = session, lock
	return true
}

// applyCopy copies messages, or moves them: the rows are new, with UIDs of their folder, the
// content is the same. A copy over the hard quota is refused as a whole (RFC 9051 6.4.7: all or
// none); a move needs no room.
func (m *machine) applyCopy([][]byte) any {
	c := &m.cmd
	from, s := m.target()
	if from == nil {
		return verbResult{status: s}
	}
	to := m.folder(from.box, c.to)
	if to == nil {
		return verbResult{status: statusNoFolder}
	}
	if !c.move && from.box.settings.Hard > 0 && !from.box.room(m.sizeOf(from)) ||
		uint64(to.next)+uint64(len(c.uids)) >= math.MaxUint32 {
		return verbResult{status: statusFull}
	}
	r := verbResult{first: to.next}
	for _, uid := range c.uids {
		if from == to && uid >= r.first {
			break // made by this command
		}
		if m.copyOne(from, to, uid) {
			r.uids = append(r.uids, uid)
			r.count++
		}
	}
	r.modSeq = to.modSeq
	return r
}

func (m *machine) sizeOf(f *openFolder) (sum uint64) {
	for _, uid := range m.cmd.uids {
		if row, ok := m.message(f, uid); ok {
			sum += uint64(row.size)
		}
	}
	return sum
}

func (m *machine) copyOne(from, to *openFolder, uid UID) bool {
	row, ok := m.message(from, uid)
	if !ok {
		return false
	}
	m.tail = append(m.tail[:0], row.tail...)
	id := refersTo(&row)
	row.tail, row.rest, row.saved = m.tail, nil, m.meta.time
	if m.cmd.move {
		m.remove(from, uid, &row)
	} else {
		content := m.content(id)
		content.refs++
		m.setContent(id, &content)
	}
	m.put(to, &row)
	return true
}
