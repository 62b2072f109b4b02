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
		want uint64 // where they part
		fork uint64 // where raft does not see it
	}{
		{"the same", table(1, 9, TermStart{1, 1, 7}), table(1, 5, TermStart{1, 1, 7}), 0, 0},
		{"other terms", table(1, 60, TermStart{2, 1, 7}, TermStart{3, 31, 7}),
			table(1, 40, TermStart{2, 1, 7}, TermStart{3, 21, 8}), 21, 31},
		{"other reigns of one term", table(1, 60, TermStart{2, 1, 7}, TermStart{3, 21, 7}),
			table(1, 40, TermStart{2, 1, 7}, TermStart{3, 21, 8}), 21, 21},
		{"other terms, and then other reigns of one",
			table(1, 60, TermStart{2, 1, 7}, TermStart{4, 31, 7}),
			table(1, 60, TermStart{2, 1, 7}, TermStart{3, 21, 8}, TermStart{4, 41, 8}), 21, 41},
		{"a reign that is not known", table(1, 60, TermStart{2, 1, 7}),
			table(1, 40, TermStart{2, 1, 0}), 0, 0},
		{"one goes on in another term", table(1, 60, TermStart{2, 1, 7}),
			table(1, 70, TermStart{2, 1, 7}, TermStart{4, 50, 7}), 50, 0},
		{"nothing in common", table(50, 60, TermStart{2, 50, 7}), table(1, 40, TermStart{1, 1, 7}),
			0, 0},
		{"one begins late", table(30, 60, TermStart{3, 30, 7}), table(1, 40, TermStart{2, 1, 7}),
			30, 0},
		{"no table", table(61, 60), table(1, 40, TermStart{2, 1, 7}), 0, 0},
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
		if got, back := c.a.forks(c.b), c.b.forks(c.a); got != c.fork || back != c.fork {
			t.Errorf("%s: they fork at %d, the other way round at %d, want %d", c.name, got, back,
				c.fork)
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

// TestTermsLearned: reigns that a member does not know it takes from a table of the same log, and
// from no other; as long as they are not known, entries of them are not taken for the same.
func TestTermsLearned(t *testing.T) {
	table := func(starts ...TermStart) *Terms { return &Terms{From: 1, Last: 60, Starts: starts} }
	ours := table(TermStart{2, 1, 7}, TermStart{3, 21, 0}, TermStart{5, 41, 0}, TermStart{6, 51, 9})
	leaders := table(TermStart{2, 1, 7}, TermStart{3, 21, 8}, TermStart{5, 40, 8},
		TermStart{6, 51, 9})
	next := ours.learned(leaders)
	if next == nil || next.Starts[1].Process != 8 || next.Starts[2].Process != 0 ||
		ours.Starts[1].Process != 0 {
		t.Errorf("learned %+v", next)
	}
	if again := next.learned(leaders); again != nil {
		t.Errorf("learned once more: %+v", again)
	}
	for _, c := range []struct {
		name string
		a, b *Terms
		want uint64
	}{
		{"all known", table(TermStart{2, 1, 7}, TermStart{3, 21, 8}),
			table(TermStart{2, 1, 7}, TermStart{3, 21, 8}), 41},
		{"one unknown", table(TermStart{2, 1, 7}, TermStart{3, 21, 8}),
			table(TermStart{2, 1, 7}, TermStart{3, 21, 0}), 21},
		{"two unknown", table(TermStart{2, 1, 7}, TermStart{3, 21, 8}),
			table(TermStart{2, 1, 0}, TermStart{3, 21, 0}), 1},
		{"unknown to both", table(TermStart{2, 1, 7}, TermStart{3, 21, 0}),
			table(TermStart{2, 1, 7}, TermStart{3, 21, 0}), 41},
	} {
		if got, back := c.a.unsureBefore(c.b, 41), c.b.unsureBefore(c.a, 41); got != c.want ||
			back != c.want {
			t.Errorf("%s: unsure from %d, the other way round %d, want %d", c.name, got, back,
				c.want)
		}
	}
}
