package logstore

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/raft"
)

// Group is one group's log and stable store: raft.LogStore, raft.MonotonicLogStore and
// raft.StableStore.
type Group struct {
	store *Store
	id    uint64
	loans loans

	// Guarded by Store.mu:
	window      window
	stable      map[string][]byte
	compactable uint64 // newest index that a marker covers
	appended    uint64 // octets of entries with their parts, those that recovery found included
}

// IsMonotonic says that indexes have no gaps, except after all entries were deleted.
func (g *Group) IsMonotonic() bool { return true }

// FirstIndex returns the first index in the log, 0 when it is empty.
func (g *Group) FirstIndex() (uint64, error) {
	g.store.mu.Lock()
	defer g.store.mu.Unlock()
	if g.window.empty() {
		return 0, nil
	}
	return g.window.first, nil
}

// LastIndex returns the last index in the log, 0 when it is empty.
func (g *Group) LastIndex() (uint64, error) {
	g.store.mu.Lock()
	defer g.store.mu.Unlock()
	if g.window.empty() {
		return 0, nil
	}
	return g.window.last, nil
}

// Last returns index and term of the last entry that was ever stored, compacted or not.
func (g *Group) Last() (index, term uint64) {
	g.store.mu.Lock()
	defer g.store.mu.Unlock()
	return g.window.last, g.window.lastTerm
}

// Appended returns how many octets of entries the log has had since Open, those that recovery found
// included, and the oldest segment that this group's window needs (0: none).
func (g *Group) Appended() (octets, oldest uint64) {
	g.store.mu.Lock()
	defer g.store.mu.Unlock()
	if len(g.window.locs) > 0 {
		oldest = g.window.locs[0].place.Segment
	}
	return g.appended, oldest
}

// StoreLog stores one entry.
func (g *Group) StoreLog(log *raft.Log) error { return g.StoreLogs([]*raft.Log{log}) }

// StoreLogs stores entries; they are on stable storage when it returns nil. After an error any
// first part of them may be.
func (g *Group) StoreLogs(logs []*raft.Log) error { return g.storeLogs(nil, logs) }

// StoreLogsWith is StoreLogs with stable values that are written in the same step as the first
// entry.
func (g *Group) StoreLogsWith(values map[string][]byte, logs []*raft.Log) error {
	return g.storeLogs(stableOf(values), logs)
}

func stableOf(values map[string][]byte) (stable []keyValue) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		stable = append(stable, keyValue{[]byte(key), append([]byte(nil), values[key]...)})
	}
	return stable
}

// Bootstrap writes a group's first entry and stable value in one step, so that no crash can leave
// one without the other.
func (g *Group) Bootstrap(termKey []byte, term uint64, first *raft.Log) error {
	return g.storeLogs([]keyValue{{termKey, le.AppendUint64(nil, term)}}, []*raft.Log{first})
}

func (g *Group) storeLogs(stable []keyValue, logs []*raft.Log) error {
	if err := g.checkNext(logs); err != nil {
		return err
	}
	o := &op{group: g, stable: stable}
	size := 0
	for _, l := range logs {
		parts, err := g.Parts(l.Extensions)
		if err != nil {
			return fmt.Errorf("store entry %d of group %d: %w", l.Index, g.id, err)
		}
		n := entrySize(len(parts), len(l.Data)) + partsLen(parts)
		if size > 0 && size+n > g.store.roundLimit() {
			if err := g.store.commit(o); err != nil {
				return err
			}
			o, size = &op{group: g}, 0
		}
		o.logs, o.parts, size = append(o.logs, l), append(o.parts, parts), size+n
	}
	return g.store.commit(o)
}

func (g *Group) checkNext(logs []*raft.Log) error {
	g.store.mu.Lock()
	defer g.store.mu.Unlock()
	want := g.window.last + 1
	if g.window.empty() && len(logs) > 0 {
		want = logs[0].Index
	}
	for i, l := range logs {
		if l.Index != want+uint64(i) || l.Index == 0 {
			return fmt.Errorf("group %d: entry %d does not follow %d", g.id, l.Index,
				want+uint64(i)-1)
		}
	}
	return nil
}

// Compactable says that a marker on stable storage covers all entries up to index: deleting those
// is compaction.
func (g *Group) Compactable(index uint64) {
	g.store.mu.Lock()
	defer g.store.mu.Unlock()
	g.compactable = max(g.compactable, index)
}

var errMiddle = errors.New("cannot delete from the middle of a log")

// Cuts reports whether DeleteRange of that would cut off the end of the log, beyond what a marker
// covers, and from which entry on.
func (g *Group) Cuts(min, max uint64) (from uint64, cut bool) {
	g.store.mu.Lock()
	defer g.store.mu.Unlock()
	if min <= g.compactable {
		min = g.compactable + 1
	}
	w := &g.window
	return min, !w.empty() && max >= w.last && min <= w.last
}

// DeleteRange deletes the entries from min to max. Raft calls it for two things: compaction deletes
// a prefix that a marker covers, and the log goes on where it was; a conflict with the leader
// deletes a suffix, whose indexes are then used again.
func (g *Group) DeleteRange(min, max uint64) error {
	g.store.mu.Lock()
	w := g.window
	compactable := g.compactable
	g.store.mu.Unlock()
	if w.empty() || max < w.first || min > w.last {
		return nil
	}
	var e end
	switch {
	case min <= w.first && (max < w.last || max <= compactable):
		e = end{kindHead, max + 1}
	case max >= w.last:
		e = end{kindTail, min - 1}
	default:
		return errMiddle
	}
	return g.store.commit(&op{group: g, ends: []end{e}})
}

// Set stores a value of raft's own. Before a vote takes effect the high-water mark is brought up to
// date too: a node whose log has lost its end must not be able to vote as if it had never had it.
func (g *Group) Set(key, val []byte) error {
	if err := g.store.commit(&op{group: g,
		stable: []keyValue{{key, append([]byte(nil), val...)}}}); err != nil {
		return err
	}
	if string(key) == "LastVoteCand" {
		return g.store.writeMark()
	}
	return nil
}

// SetAll stores several values in one step, so that no crash can leave some without the others.
func (g *Group) SetAll(values map[string][]byte) error {
	if err := g.store.commit(&op{group: g, stable: stableOf(values)}); err != nil {
		return err
	}
	return g.store.writeMark()
}

// ID returns the group's number in the store.
func (g *Group) ID() uint64 { return g.id }

// Get returns a stable value, nil when there is none.
func (g *Group) Get(key []byte) ([]byte, error) {
	g.store.mu.Lock()
	defer g.store.mu.Unlock()
	return g.stable[string(key)], nil
}

// SetUint64 stores a number.
func (g *Group) SetUint64(key []byte, val uint64) error {
	return g.Set(key, le.AppendUint64(nil, val))
}

// GetUint64 returns a number, 0 when there is none.
func (g *Group) GetUint64(key []byte) (uint64, error) {
	v, err := g.Get(key)
	if err != nil || len(v) != 8 {
		return 0, err
	}
	return le.Uint64(v), nil
}
