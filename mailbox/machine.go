package mailbox

import "fmt"

// machine is the state machine: a pure function of rows and command (DESIGN.md). Between
// commands its memory is a cache of one row. Used by the apply goroutine only.
type machine struct {
	w         Writer
	index     uint64 // of the entry being applied
	cmd       command
	loaded    bool
	meta      meta
	recent    recent
	changeSet changeSet
	// changed: the owner's listener is told after the batch is in the store.
	changed func(b *openBox, folder uint32, modSeq uint64)
	key     []byte // scratch; a row that is made of another's tail has a place of its own
	val     []byte
	small   []byte
	tail    []byte
	result  []byte
}

// apply applies one command. It reads nothing but rows and command: time is in the command and
// never runs backwards, so a replay from any applied prefix gives the same rows. It panics rather
// than pass over what it cannot read, for a member that skips a command differs from the others.
func (m *machine) apply(w Writer, index uint64, data []byte, parts [][]byte) any {
	m.w, m.index = w, index
	if !m.loaded {
		m.load()
	}
	if err := m.cmd.decode(data); err != nil {
		panic(fmt.Sprintf("mailbox: cannot apply entry %d (%d octets): %v", index, len(data), err))
	}
	m.meta.time = max(
		m.meta.time,
		m.cmd.time,
	) // a new owner's clock may be behind; command time is not
	result := m.once(parts)
	m.set(metaKey, m.meta.append(m.val[:0]))
	return result
}

// once applies a command unless it was applied before, or is too late: each command is applied at
// most once, in the session that made it. A repeated one gets the result of the first.
func (m *machine) once(parts [][]byte) any {
	c := &m.cmd
	if c.kind == cmdEpoch {
		return m.applyEpoch(nil)
	}
	if c.session != m.meta.epoch {
		return refused{}
	}
	m.key = appendSlotKey(m.key[:0], c.session, c.slot)
	if v, ok := m.w.Get(m.key); ok {
		last := must(decodeSlotRow(v))
		switch {
		case c.seq == last.seq:
			return must(parseResult(last.result))
		case c.seq < last.seq:
			return refused{}
		}
	}
	result := commands[c.kind].apply(m, parts)
	m.close()
	m.result = encodeResult(m.result[:0], result)
	row := slotRow{c.seq, m.result}
	m.key = appendSlotKey(m.key[:0], c.session, c.slot)
	m.set(m.key, row.append(m.val[:0]))
	return result
}

func (m *machine) load() {
	m.loaded, m.meta = true, meta{}
	if v, ok := m.w.Get(metaKey); ok {
		m.meta = must(decodeMeta(v))
	}
	m.recent.reset(m.meta.newest)
}

// must: a row that cannot be read is a broken invariant, and going on would make this member differ
// from the others.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// set writes a row whose value was built in m.val.
func (m *machine) set(key, value []byte) {
	m.val = value
	m.w.Set(key, value)
}

// applyEpoch gives the mailboxes a new owner. Nothing of an older one is applied after it, so what
// is remembered of their commands goes.
func (m *machine) applyEpoch([][]byte) any {
	if m.cmd.session != m.meta.epoch {
		return epochResult{}
	}
	m.meta.epoch = m.index
	m.w.DeleteRange([]byte{keySlot}, appendSlotKey(nil, m.index, 0))
	return epochResult{m.index, m.meta.time}
}
