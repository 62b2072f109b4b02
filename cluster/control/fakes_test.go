package control

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	rowstest "github.com/postroad/postroad/internal/testkit/rows"
)

// newStore is a group of one member; results cross the wire, too.
func newStore(s *State) *rowstest.Store {
	store := rowstest.New(s)
	store.Answer = func(result any) (any, error) { return ParseResult(AppendResult(nil, result)) }
	return store
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
	t        *testing.T
	store    *rowstest.Store
	now      time.Time
	next     uint64 // incarnation
	protocol int    // of new nodes
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s := New()
	b := &bench{t: t, store: newStore(s), now: clockStart, protocol: 1}
	b.Editor = &Editor{State: s, Proposer: b.store, Now: func() time.Time { return b.now }}
	return b
}

func (b *bench) node(name string) Node {
	b.next++
	return Node{Name: name, Address: name + ":7025", Incarnation: b.next, Version: "1.0",
		Protocol: b.protocol}
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
				must(b.t, b.Observed(ctx, g.ID,
					Configuration{Voters: g.Voters, Nonvoters: g.Nonvoters,
						Index: g.Observed.Index + 1}))
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
		return slices.Concat(encodeRecord(m.cluster), encodeRecord(m.counts),
			encodeRecord(m.tokens), encodeRecord(m.members), encodeRecord(m.groups),
			encodeRecord(slices.Concat([]Suspension{}, m.suspensions)),
			encodeRecord(slices.Concat([]Pushed{}, m.pushed)))
	}
	return bytes.Equal(rows(a.view.Load()), rows(b.view.Load()))
}
