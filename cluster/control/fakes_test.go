package control

import (
	"bytes"
	"context"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"
)

// store is a group's store with one member: Propose applies at once.
type store struct {
	mu    sync.Mutex
	kv    map[string]string
	index uint64
	fsm   *State
	// held keeps Committed from being called, as between Apply and the store's commit.
	held bool
	log  [][]byte
}

func newStore(s *State) *store { return &store{kv: map[string]string{}, fsm: s} }

func (s *store) Set(k, v []byte) { s.kv[string(k)] = string(v) }
func (s *store) Delete(k []byte) { delete(s.kv, string(k)) }
func (s *store) Get(k []byte) ([]byte, bool) {
	v, ok := s.kv[string(k)]
	return []byte(v), ok
}

func (s *store) Scan(from, to []byte, fn func(k, v []byte) bool) error {
	var keys []string
	for k := range s.kv {
		if k >= string(from) && k < string(to) {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	for _, k := range keys {
		if !fn([]byte(k), []byte(s.kv[k])) {
			break
		}
	}
	return nil
}

// Propose takes the result over the wire, too.
func (s *store) Propose(_ context.Context, data []byte, parts [][]byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	s.log = append(s.log, data)
	r := s.fsm.Apply(s, s.index, 1, data, parts)
	if !s.held {
		s.fsm.Committed()
	}
	return ParseResult(AppendResult(nil, r))
}

var (
	ctx        = context.Background()
	clockStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bench is an editor over a store of its own, with a clock that a test moves.
type bench struct {
	*Editor
	t     *testing.T
	store *store
	now   time.Time
	next  uint64 // incarnation
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s := New()
	b := &bench{t: t, store: newStore(s), now: clockStart}
	b.Editor = &Editor{State: s, Proposer: b.store, Now: func() time.Time { return b.now }}
	return b
}

func (b *bench) node(name string) Node {
	b.next++
	return Node{Name: name, Address: name + ":7025", Incarnation: b.next, Version: "1.0", Protocol: 1}
}

// members makes a cluster of so many active members.
func (b *bench) members(names ...string) {
	b.t.Helper()
	for i, name := range names {
		if i == 0 {
			must(b.t, b.Init(ctx, "c1", []byte("cert"), []byte("key"), b.node(name)))
			continue
		}
		m, err := b.AddMember(ctx, b.node(name))
		must(b.t, err)
		must(b.t, b.Activate(ctx, m.ID))
	}
}

// settle plans until there is nothing to plan, with groups that do at once what they should.
func (b *bench) settle(p Policy) {
	b.t.Helper()
	for range 1000 {
		quiet := true
		if plan := Plan(b.State, p); !plan.Empty() {
			quiet = false
			must(b.t, b.Place(ctx, plan))
		}
		for _, g := range b.State.Groups() {
			if g.State == GroupNew {
				must(b.t, b.Bootstrapped(ctx, g.ID))
				quiet = false
			} else if !g.Settled() || g.Observed.Plan != g.Plan {
				must(b.t, b.Observed(ctx, g.ID, Configuration{Voters: g.Voters, Nonvoters: g.Nonvoters, Index: g.Observed.Index + 1}))
				quiet = false
			}
		}
		if quiet {
			return
		}
	}
	b.t.Fatal("planning does not come to an end")
}

// same reports whether two views are the same in what is stored of them.
func same(a, b *State) bool {
	rows := func(m *model) []byte {
		return slices.Concat(encodeRecord(m.cluster), encodeRecord(m.counts), encodeRecord(m.tokens), encodeRecord(m.members), encodeRecord(m.groups))
	}
	return bytes.Equal(rows(a.view.Load()), rows(b.view.Load()))
}
