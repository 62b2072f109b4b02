package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/state"
	"github.com/postroad/postroad/internal/rows"
)

// StateMachine is what a group replicates. Both methods are called on one goroutine, the group's
// apply goroutine.
type StateMachine interface {
	// Apply applies one command. It must depend on nothing but its arguments and the rows. On the
	// member where it was proposed, data and parts are the very slices given to Propose; elsewhere
	// and after a restart they are fresh. Apply may keep the parts (say, to send them on without
	// reading the disk) as long as whoever proposed them allows; it must not change them.
	Apply(w rows.ContentWriter, index, term uint64, data []byte, parts [][]byte) any
	// Committed says that everything that the preceding Apply calls wrote is in the store, and so
	// visible to readers.
	Committed()
}

// Versioned is what a StateMachine has that can tell a command of a newer program. Understands
// returns why this program cannot apply it, or nil. It is called on the apply goroutine, before
// Apply: to go on without the command would make this member's state differ from the others'.
type Versioned interface {
	Understands(data []byte) error
}

// ErrTooOld: the node has met a command that its program does not know, and has stopped. Only a
// newer program mends that.
var ErrTooOld = errors.New("this program is too old for its cluster: start a newer version")

// batchLimit is the size in octets at which a batch is committed even if more entries are waiting.
const batchLimit = 4 << 20

// fsm is raft's view of a group's state machine. The state is persistent: entries at or below the
// applied index, which raft feeds again after a start, are skipped.
type fsm struct {
	g       *Group
	sm      StateMachine
	w       *state.Writer
	applied uint64 // owned by the apply goroutine
	term    uint64
	pending bool // something was applied since the last commit

	appliedIndex atomic.Uint64 // applied, in the store
}

// load reads the applied index after the state was opened.
func (f *fsm) load() error {
	applied, term, err := f.g.state.Load()
	if err == nil {
		f.jump(applied, term)
	}
	return err
}

// jump notes that the state is as of another entry.
func (f *fsm) jump(applied, term uint64) {
	f.applied, f.term = applied, term
	f.appliedIndex.Store(applied)
}

// ApplyBatch implements raft.BatchingFSM.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	results := make([]any, len(logs))
	for i, l := range logs {
		if l.Index <= f.applied {
			continue
		}
		if l.Type == raft.LogCommand {
			results[i] = f.applyCommand(l)
		}
		f.applied, f.term, f.pending = l.Index, l.Term, true
		if f.w.Len() >= batchLimit {
			f.commit()
		}
	}
	f.commit()
	return results
}

func (f *fsm) applyCommand(l *raft.Log) any {
	if v, ok := f.sm.(Versioned); ok {
		if err := v.Understands(l.Data); err != nil {
			f.g.node.fatal(fmt.Errorf("%w (entry %d of group %d: %w)", ErrTooOld, l.Index, f.g.id,
				err))
		}
	}
	parts, err := f.g.log.Parts(l.Extensions)
	f.w.Check(err)
	f.w.Begin(l.Index, parts)
	return f.sm.Apply(f.w, l.Index, l.Term, l.Data, parts)
}

func (f *fsm) commit() {
	if !f.pending {
		return
	}
	f.pending = false
	f.w.Commit(f.applied, f.term)
	f.appliedIndex.Store(f.applied)
	f.g.quiet.stir()
	f.sm.Committed()
	f.g.node.compactor.consider(f.g)
}

// Apply implements raft.FSM; raft uses ApplyBatch.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// Snapshot implements raft.FSM. All is on its way to the disk anyway: a snapshot is only a marker
// (marker.go).
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) { return markerSnapshot{f.g, f.applied}, nil }

// Restore implements raft.FSM: the state that was laid aside becomes the state. It came with its
// own applied index, which may be above the snapshot's; what raft feeds in between is skipped.
func (f *fsm) Restore(r io.ReadCloser) error {
	staged, err := f.g.state.Staged()
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if staged <= f.applied {
		return nil
	}
	index, term, err := f.g.state.Switch()
	if err != nil {
		f.g.node.fatal(err)
	}
	f.jump(index, term)
	if r, ok := f.sm.(Restorer); ok {
		r.Restored()
	}
	return nil
}

// Restorer is what a StateMachine has that keeps rows in memory. Restored says, on the apply
// goroutine, that all rows have been replaced.
type Restorer interface{ Restored() }
