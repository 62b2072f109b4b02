package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestTermsDiverge: where two logs part is found by their tables, as far as these tell.
func TestTermsDiverge(t *testing.T) {
	table := func(from, last uint64, starts ...TermStart) *Terms {
		return &Terms{From: from, Last: last, Starts: starts}
	}
	for _, c := range []struct {
		name string
		a, b *Terms
		want uint64
	}{
		{"the same", table(1, 9, TermStart{1, 1, 7}), table(1, 5, TermStart{1, 1, 7}), 0},
		{"other terms", table(1, 60, TermStart{2, 1, 7}, TermStart{3, 31, 7}), table(1, 40, TermStart{2, 1, 7}, TermStart{3, 21, 8}), 21},
		{"other reigns of one term", table(1, 60, TermStart{2, 1, 7}, TermStart{3, 21, 7}), table(1, 40, TermStart{2, 1, 7}, TermStart{3, 21, 8}), 21},
		{"a reign that is not known", table(1, 60, TermStart{2, 1, 7}), table(1, 40, TermStart{2, 1, 0}), 0},
		{"one goes on in another term", table(1, 60, TermStart{2, 1, 7}), table(1, 70, TermStart{2, 1, 7}, TermStart{4, 50, 7}), 50},
		{"nothing in common", table(50, 60, TermStart{2, 50, 7}), table(1, 40, TermStart{1, 1, 7}), 0},
		{"one begins late", table(30, 60, TermStart{3, 30, 7}), table(1, 40, TermStart{2, 1, 7}), 30},
		{"no table", table(61, 60), table(1, 40, TermStart{2, 1, 7}), 0},
	} {
		if got, back := c.a.diverges(c.b), c.b.diverges(c.a); got != c.want || back != c.want {
			t.Errorf(
				"%s: they part at %d, the other way round at %d, want %d",
				c.name,
				got,
				back,
				c.want,
			)
		}
	}
}

// TestTermsKept: the table follows what is stored, is cut with it, and stays bounded.
func TestTermsKept(t *testing.T) {
	reigns := func(term uint64) *reign { return &reign{term, 100 + term} }
	var table *Terms
	store := func(index, term uint64) (changed bool) {
		next := table.with([]*raft.Log{{Index: index, Term: term}}, reigns)
		if next != nil {
			table = next
		}
		return next != nil
	}
	if !store(5, 1) || store(6, 1) || !store(7, 3) || store(8, 3) {
		t.Errorf("%+v", table)
	}
	if !store(7, 4) || len(table.Starts) != 2 || table.Starts[1] != (TermStart{4, 7, 104}) ||
		table.From != 5 {
		t.Errorf("after a cut: %+v", table)
	}
	for i := range uint64(200) {
		store(8+i, 5+i)
	}
	if len(table.Starts) != termsMost || table.From != table.Starts[0].First ||
		table.Starts[termsMost-1].First != 207 {
		t.Errorf("%d terms from %d", len(table.Starts), table.From)
	}
}
