package machine

import (
	"fmt"

	"github.com/postroad/postroad/internal/rows"
)

// Writer is what commands are applied to.
type Writer = rows.ContentWriter

// Machine is the state machine: a pure function of rows and command (DESIGN.md). Its memory is
// a cache of rows. Used by the apply goroutine only.
type Machine struct {
	w       Writer
	index   uint64 // of the entry being applied
	cmd     Command
	Loaded  bool
	Meta    Meta
	Slots   map[SlotKey]SlotRow
	Msg     ChangeSet // the message being changed
	key     []byte    // scratch
	val     []byte
	parts   []PartRef
	numbers []uint32
	others  []uint32
	Moved   [ReasonsNumber]uint64 // by this process, for metrics
	Events  Events
}

// Events is told what a command changed, while it is applied: the owner's listener hears of it when
// the batch is in the store.
type Events interface {
	// Accepted: message number n of the accept command is in the queue now.
	Accepted(c *Command, n int, parts []PartRef)
	Scheduled(domain []byte, due int64, e *ChangeSet)
	Changed(e *ChangeSet)
	Gone(e *ChangeSet)
	ReportDue()
	Suspended(s Suspensions)
}

// maxSlots bounds the cache of slot rows.
const maxSlots = 64

// Apply applies one command. It reads nothing but rows and command: time is in the command and
// never runs backwards, so a replay from any applied prefix gives the same rows. It panics rather
// than pass over what it cannot read, for a member that skips a command differs from the others.
func (m *Machine) Apply(w Writer, index uint64, data []byte, parts [][]byte) any {
	m.w, m.index = w, index
	if !m.Loaded {
		m.load()
	}
	if err := m.cmd.Decode(data); err != nil {
		panic(fmt.Sprintf("queue: cannot apply entry %d (%d octets): %v", index, len(data), err))
	}
	m.Meta.Index = index
	m.Meta.Time = max(
		m.Meta.Time,
		m.cmd.Time,
	) // a new owner's clock may be behind; command time is not
	result := m.dispatch(parts)
	m.set(MetaKey, m.Meta.Append(m.val[:0]))
	return result
}

func (m *Machine) dispatch(parts [][]byte) any {
	switch m.cmd.Kind {
	case CmdAccept:
		return m.applyAccept(parts)
	case CmdChunk:
		return m.applyChunk(parts)
	case CmdSettle:
		return m.applySettle()
	case CmdOperator:
		return m.applyOperator()
	case CmdEpoch:
		return m.applyEpoch()
	case CmdIdle:
		return m.applyIdle()
	case CmdSweep:
		return m.applySweep()
	case CmdDrop:
		return m.applyDrop()
	case CmdSeal:
		return m.applySeal()
	case CmdSuspend:
		return m.applySuspend()
	case CmdOffer:
		return m.applyOffer()
	case CmdLetGo:
		return m.applyLetGo()
	case CmdOver:
		return m.applyOver()
	case CmdBring:
		return m.applyBring(parts)
	case CmdTake:
		return m.applyTake(parts)
	case CmdFinish:
		return m.applyFinish()
	}
	return m.applyNewer()
}

func (m *Machine) load() {
	m.Loaded, m.Meta = true, Meta{}
	m.Slots = make(map[SlotKey]SlotRow)
	if v, ok := m.w.Get(MetaKey); ok {
		m.Meta = must(DecodeMeta(v))
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
func (m *Machine) set(key, value []byte) {
	m.val = value
	m.w.Set(key, value)
}

// EpochResult is what Start learns; index 0: another epoch came between.
type EpochResult struct {
	Index uint64
	Time  int64
}

// applyEpoch gives the queue a new owner. The command names the epoch before it and is refused when
// another came between, so a late or repeated one ends nobody's term. Attempts of the one before
// may have been under way unless it said otherwise.
func (m *Machine) applyEpoch() any {
	if m.cmd.Session != m.Meta.Epoch {
		return EpochResult{}
	}
	if !m.Meta.Idle {
		m.Meta.maybe, m.Meta.maybeDue = m.index, m.Meta.Time
	}
	m.Meta.Epoch, m.Meta.Idle = m.index, false
	return EpochResult{m.index, m.Meta.Time}
}

// applyRest is ignored when it comes from an owner of the past.
func (m *Machine) applyIdle() any {
	m.Meta.Idle = m.Meta.Idle || m.cmd.Session == m.Meta.Epoch
	return nil
}

// SealResult: ok: the queue is empty, nothing is on its way to it or from it, and it takes nothing
// more.
type SealResult struct{ Ok bool }

// applySeal closes the queue when no message is left and no hand-over is open. A sealed queue
// refuses every accept command, so nothing comes between this look and the group's end.
func (m *Machine) applySeal() any {
	m.Meta.sealed = m.Meta.sealed ||
		m.Meta.Counters[CountMessages] == 0 && m.Meta.Incoming == 0 &&
			m.handover().Phase == HandoverIdle
	return SealResult{m.Meta.sealed}
}
