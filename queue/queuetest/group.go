// Package queuetest is a replicated group in memory, for tests of what is built over package
// queue's interfaces. It applies commands one after the other, keeps its log and the state after
// each entry, and can lose answers.
package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
)

// Machine is the state machine that the group applies its log to: wrap queue.Queue's Apply,
// Committed and Restored.
type Machine struct {
	Apply     func(w *Writer, index, term uint64, data []byte, parts [][]byte) any
	Committed func()
	Restored  func() // a Cluster's only
}

// Fault says what becomes of a proposal.
type Fault int

const (
	None        Fault = iota
	Refuse            // it never enters the log: Group.Refused
	LoseAnswer        // it is applied, and the proposer is told that the outcome is unknown
	LoseCommand       // it is lost, and the proposer is told that the outcome is unknown
	// it enters the log later (Cluster.Release), and the proposer is told that the outcome is
	// unknown
	Delay

	Depose Fault = 16 // added to another: the leader is none any more (a Cluster's only)
)

// ErrUnknown is what a proposer is told when the outcome is unknown.
var ErrUnknown = errors.New("queuetest: outcome unknown")

// Entry is one entry of the log.
type Entry struct {
	Index uint64
	Data  []byte
	Parts [][]byte
}

// State is the state after an entry. It can be kept and started from.
type State struct {
	Index uint64
	root  *tree
	kept  map[PartKey]bool
}

// PartKey names a content part.
type PartKey struct {
	Index uint64
	Part  int
}

// Group is the group. Its methods are safe for use by several goroutines. Set the fields before its
// first use.
type Group struct {
	Machine Machine
	Refused error                   // what a refused proposer is told; default: ErrUnknown
	Fault   func(data []byte) Fault // asked for each proposal; nil: None
	History bool                    // keep the state after each entry

	apply sync.Mutex // held while an entry is applied
	mu    struct {
		sync.RWMutex
		State
		log    []Entry
		states []State
		parts  map[PartKey][]byte
	}
}

// New returns an empty group.
func New(m Machine) *Group {
	g := &Group{Machine: m}
	g.mu.kept = make(map[PartKey]bool)
	g.mu.parts = make(map[PartKey][]byte)
	return g
}

// Recover returns a group that starts from a state and applies the entries of the log that come
// after it.
func Recover(m Machine, from State, log []Entry) *Group {
	g := New(m)
	g.mu.root, g.mu.Index = from.root, from.Index
	for k := range from.kept {
		g.mu.kept[k] = true
	}
	for _, e := range log {
		for i, p := range e.Parts {
			g.mu.parts[PartKey{e.Index, i}] = p
		}
		if g.mu.log = append(g.mu.log, e); e.Index > from.Index {
			g.applyEntry(e)
		}
	}
	return g
}

// Propose appends a command to the log and applies it.
func (g *Group) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fault := None
	if g.Fault != nil {
		fault = g.Fault(data)
	}
	switch fault {
	case Refuse:
		if g.Refused != nil {
			return nil, g.Refused
		}
		return nil, ErrUnknown
	case LoseCommand, Delay: // alone, a group has nothing that delays
		return nil, ErrUnknown
	}
	g.apply.Lock()
	defer g.apply.Unlock()
	result := g.applyEntry(g.append(data, parts))
	if fault == LoseAnswer {
		return nil, ErrUnknown
	}
	return result, nil
}

func (g *Group) append(data []byte, parts [][]byte) Entry {
	e := Entry{Index: uint64(len(g.Log())) + 1, Data: data}
	for _, p := range parts { // they are the proposer's again when Propose returns
		e.Parts = append(e.Parts, bytes.Clone(p))
	}
	g.store(e)
	return e
}

func (g *Group) store(e Entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.log = append(g.mu.log, e)
	for i, p := range e.Parts {
		g.mu.parts[PartKey{e.Index, i}] = p
	}
}

func (g *Group) applyEntry(e Entry) any {
	g.mu.RLock()
	w := &Writer{root: g.mu.root, kept: make(map[PartKey]bool), g: g, index: e.Index}
	g.mu.RUnlock()
	result := g.Machine.Apply(w, e.Index, 1, e.Data, e.Parts)
	g.mu.Lock()
	g.mu.root, g.mu.Index = w.root, e.Index
	for k, kept := range w.kept {
		if kept {
			g.mu.kept[k] = true
		} else {
			delete(g.mu.kept, k)
		}
	}
	if g.History {
		g.mu.states = append(g.mu.states, g.mu.State.clone())
	}
	g.mu.Unlock()
	g.Machine.Committed()
	return result
}

func (s State) clone() State {
	kept := make(map[PartKey]bool, len(s.kept))
	for k := range s.kept {
		kept[k] = true
	}
	return State{s.Index, s.root, kept}
}

// Log returns the entries, Now the state, States that after each entry (with History).
func (g *Group) Log() []Entry {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.log
}

// Now returns the present state.
func (g *Group) Now() State {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.State.clone()
}

// States returns the state after each entry, when History is set.
func (g *Group) States() []State {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.states
}

// Get reads the applied state.
func (g *Group) Get(key []byte) ([]byte, bool, error) {
	s := g.root()
	v, ok := s.get(key)
	return bytes.Clone(v), ok, nil
}

func (g *Group) root() *tree {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.root
}

// Scan reads the applied state of one moment.
func (g *Group) Scan(from, to []byte, fn func(k, v []byte) bool) error {
	g.root().scan(from, to, fn)
	return nil
}

// ReadPart reads a content part that is kept.
func (g *Group) ReadPart(buf []byte, index uint64, part int) ([]byte, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	k := PartKey{index, part}
	if !g.mu.kept[k] {
		return buf, fmt.Errorf("queuetest: part %d of entry %d is not kept", part, index)
	}
	return append(buf, g.mu.parts[k]...), nil
}

// Kept returns the content parts that the state refers to.
func (s State) Kept() map[PartKey]bool { return s.kept }

// Rows calls fn with all rows in order.
func (s State) Rows(fn func(k, v []byte)) {
	s.root.scan(
		nil,
		bytes.Repeat([]byte{0xff}, 64),
		func(k, v []byte) bool { fn(k, v); return true },
	)
}

// Diff names the first difference between two states, or "".
func (s State) Diff(other State) string {
	a, b := s.dump(), other.dump()
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			return fmt.Sprintf("%q: %q, %q", k, v, w)
		}
	}
	for k, v := range b {
		if _, ok := a[k]; !ok {
			return fmt.Sprintf("%q: none, %q", k, v)
		}
	}
	return ""
}

func (s State) dump() map[string]string {
	m := make(map[string]string)
	s.Rows(func(k, v []byte) { m[string(k)] = string(v) })
	for k := range s.kept {
		m[fmt.Sprintf("part %d/%d", k.Index, k.Part)] = "kept"
	}
	return m
}

// Writer writes the entry being applied.
type Writer struct {
	root  *tree
	kept  map[PartKey]bool
	g     *Group
	index uint64
}

// Set writes a row.
func (w *Writer) Set(key, value []byte) { w.root = w.root.set(key, value) }

// Delete deletes a row.
func (w *Writer) Delete(key []byte) {
	w.root = w.root.deleteRange(key, append(bytes.Clone(key), 0))
}

// DeleteRange deletes the rows in [from, to).
func (w *Writer) DeleteRange(from, to []byte) { w.root = w.root.deleteRange(from, to) }

// Get returns a row, as written by all calls before.
func (w *Writer) Get(key []byte) ([]byte, bool) { return w.root.get(key) }

// KeepPart notes that the state refers to a part of the entry.
func (w *Writer) KeepPart(index uint64, part int) { w.keep(PartKey{index, part}, true) }

// DropPart notes that it no longer does.
func (w *Writer) DropPart(index uint64, part int) { w.keep(PartKey{index, part}, false) }

// keep panics on a hold that is taken or given back twice: the real store would count wrongly.
func (w *Writer) keep(k PartKey, keep bool) {
	held, here := w.kept[k]
	if !here {
		w.g.mu.RLock()
		held = w.g.mu.kept[k]
		w.g.mu.RUnlock()
	}
	if held == keep {
		panic(fmt.Sprintf("queuetest: entry %d: part %v kept=%v twice", w.index, k, keep))
	}
	w.kept[k] = keep
}
