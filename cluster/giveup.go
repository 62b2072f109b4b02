package cluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// A member stops when its group's leader has another past (takenback.go). Once the operator has had
// salvaged what only that member has, it gives its past up and begins another incarnation in the
// group (rejoin.go), with nothing. Nothing of that runs beside raft.

const salvageKey = "salvage" // how far the salvage is; whoever salvages says what it means

// Salvage returns how far the salvage of this group is, as NoteSalvage was told; nothing: it has
// not begun.
func (g *Group) Salvage() ([]byte, error) { return g.log.Get([]byte(salvageKey)) }

// NoteSalvage notes how far it is. It is on stable storage when it returns nil.
func (g *Group) NoteSalvage(note []byte) error { return g.log.Set([]byte(salvageKey), note) }

// Unrolled makes the state that of the end of the log, whatever of that was committed: the group
// goes on with it on no member. The group has stopped for good.
func (g *Group) Unrolled(sm StateMachine) error {
	e, err := g.TakenBack()
	if err != nil {
		return err
	}
	if e == nil || g.running.Load() {
		return fmt.Errorf("group %d has not stopped", g.id)
	}
	if err := g.loadTerms(); err != nil {
		return err
	}
	g.fsm.sm = sm
	last, err := g.log.LastIndex()
	for i := g.fsm.applied + 1; err == nil && i <= last; i++ {
		var l raft.Log
		if err = g.log.GetLog(i, &l); err == nil {
			g.fsm.ApplyBatch([]*raft.Log{&l})
		}
	}
	if err != nil {
		return fmt.Errorf("read the log of group %d: %w", g.id, err)
	}
	return nil
}

// Parted is from which entry on this member's past may be another than that of a leader that
// answered so; at the latest where it stopped.
func (e *TakenBack) Parted(ours, leaders *Terms) uint64 {
	from := e.From
	if d := ours.diverges(leaders); d > 0 {
		from = min(from, d)
	}
	return ours.unsureBefore(leaders, from)
}

// GiveUp ends this member's part in the group's past that it alone has, from an entry on, and
// begins another incarnation with nothing. It neither votes nor stands until it has again what
// both have.
func (g *Group) GiveUp(from uint64) error {
	if e, err := g.TakenBack(); err != nil || e == nil || g.running.Load() {
		return errors.Join(err, fmt.Errorf("group %d has not stopped", g.id))
	}
	left := g.sharedBefore(from)
	if err := g.loadDoubts(); err != nil {
		return err
	}
	for _, d := range g.Doubts() {
		if left.before(d.floor()) {
			left = d.floor()
		}
	}
	// From here on a start does the rest, too.
	if err := g.log.SetAll(
		map[string][]byte{retiredKey: []byte(time.Now().UTC().Format(time.RFC3339)),
			leftKey: left.encode()}); err != nil {
		return err
	}
	if err := g.state.UncountParts(); err != nil {
		return err
	}
	return g.revive()
}

// sharedBefore is the place in the log before an entry; where its term is not known, the end of the
// log, which is later.
func (g *Group) sharedBefore(from uint64) position {
	var l raft.Log
	if from > 1 && g.log.GetLog(from-1, &l) == nil {
		return position{l.Term, from - 1}
	}
	if m, err := g.loadMarker(); err == nil && m != nil && m.index == from-1 {
		return position{m.term, m.index}
	}
	return g.position()
}
