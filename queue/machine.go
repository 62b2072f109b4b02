package queue

import (
	"fmt"

	"github.com/postroad/postroad/internal/rows"
)

// Writer is what commands are applied to.
type Writer = rows.ContentWriter

// machine is the state machine: a pure function of rows and command (DESIGN.md). Its memory is
// a cache of rows. Used by the apply goroutine only.
type machine struct {
	w       Writer
	index   uint64 // of the entry being applied
	cmd     command
	loaded  bool
	meta    meta
	slots   map[slotKey]slotRow
	msg     changeSet // the message being changed
	key     []byte    // scratch
	val     []byte
	parts   []PartRef
	numbers []uint32
	others  []uint32
	moved   [reasonsNumber]uint64 // by this process, for metrics
	events  events
}

// events is what the owner's listener is told after the batch is in the store.
type events interface {
	// accepted: message number n of the accept command is in the queue now.
	accepted(c *command, n int, parts []PartRef)
	scheduled(domain []byte, due int64, e *changeSet)
	changed(e *changeSet)
	gone(e *changeSet)
	reportDue()
	suspended(s Suspensions)
}

// maxSlots bounds the cache of slot rows.
const maxSlots = 64

// apply applies one command. It reads nothing but rows and command: time is in the command and
// never runs backwards, so a replay from any applied prefix gives the same rows. It panics rather
// than pass over what it cannot read, for a member that skips a command differs from the others.
func (m *machine) apply(w Writer, index uint64, data []byte, parts [][]byte) any {
	m.w, m.index = w, index
	if !m.loaded {
		m.load()
	}
	if err := m.cmd.decode(data); err != nil {
		panic(fmt.Sprintf("queue: cannot apply entry %d (%d octets): %v", index, len(data), err))
	}
	m.meta.index = index
	m.meta.time = max(
		m.meta.time,
		m.cmd.time,
	) // a new owner's clock may be behind; command time is not
	result := m.dispatch(parts)
	m.set(metaKey, m.meta.append(m.val[:0]))
	return result
}

func (m *machine) dispatch(parts [][]byte) any {
	switch m.cmd.kind {
	case cmdAccept:
		return m.applyAccept(parts)
	case cmdChunk:
		return m.applyChunk(parts)
	case cmdSettle:
		return m.applySettle()
	case cmdOperator:
		return m.applyOperator()
	case cmdEpoch:
		return m.applyEpoch()
	case cmdIdle:
		return m.applyIdle()
	case cmdSweep:
		return m.applySweep()
	case cmdDrop:
		return m.applyDrop()
	case cmdSeal:
		return m.applySeal()
	case cmdSuspend:
		return m.applySuspend()
	case cmdOffer:
		return m.applyOffer()
	case cmdLetGo:
		return m.applyLetGo()
	case cmdOver:
		return m.applyOver()
	case cmdBring:
		return m.applyBring(parts)
	case cmdTake:
		return m.applyTake(parts)
	case cmdFinish:
		return m.applyFinish()
	}
	return m.applyNewer()
}

func (m *machine) load() {
	m.loaded, m.meta = true, meta{}
	m.slots = make(map[slotKey]slotRow)
	if v, ok := m.w.Get(metaKey); ok {
		m.meta = must(decodeMeta(v))
	}
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

// epochResult is what Start learns; index 0: another epoch came between.
type epochResult struct {
	index uint64
	time  int64
}

// applyEpoch gives the queue a new owner. The command names the epoch before it and is refused when
// another came between, so a late or repeated one ends nobody's term. Attempts of the one before
// may have been under way unless it said otherwise.
func (m *machine) applyEpoch() any {
	if m.cmd.session != m.meta.epoch {
		return epochResult{}
	}
	if !m.meta.idle {
		m.meta.maybe, m.meta.maybeDue = m.index, m.meta.time
	}
	m.meta.epoch, m.meta.idle = m.index, false
	return epochResult{m.index, m.meta.time}
}

// applyRest is ignored when it comes from an owner of the past.
func (m *machine) applyIdle() any {
	m.meta.idle = m.meta.idle || m.cmd.session == m.meta.epoch
	return nil
}

// sealResult: ok: the queue is empty, nothing is on its way to it or from it, and it takes nothing
// more.
type sealResult struct{ ok bool }

// applySeal closes the queue when no message is left and no hand-over is open. A sealed queue
// refuses every accept command, so nothing comes between this look and the group's end.
func (m *machine) applySeal() any {
	m.meta.sealed = m.meta.sealed ||
		m.meta.counters[countMessages] == 0 && m.meta.incoming == 0 &&
			m.handover().phase == handoverIdle
	return sealResult{m.meta.sealed}
}
