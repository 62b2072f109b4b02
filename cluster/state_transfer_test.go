package cluster

import (
	"testing"

	"github.com/postroad/postroad/cluster/state"
)

// watched looks at the status of a group while it gives its state away.
type watched struct {
	g    *Group
	seen []state.Progress
}

func (w *watched) Write(b []byte) (int, error) {
	w.seen = append(w.seen, w.g.Status().Transfers[7])
	return len(b), nil
}

// TestTransferProgressIsSeen: how far a state is that another member takes over is known while it
// is on its way, and about how much it is in all.
func TestTransferProgressIsSeen(t *testing.T) {
	t.Parallel()
	m := newMany(t, 1)
	one := m.start(1)
	m.leader()
	m.put(one, 0, 300)
	if err := one.node.state.Flush(); err != nil {
		t.Fatal(err)
	}
	w := &watched{g: one.g}
	if err := one.g.state.Give(t.Context(), 7, w); err != nil {
		t.Fatal(err)
	}
	first, last := w.seen[0], w.seen[len(w.seen)-1]
	if len(w.seen) < 2 || first.Octets != 0 || last.Octets == 0 || first.Of == 0 ||
		last.Octets > first.Of*2 || first.Of > last.Octets*2 {
		t.Errorf("%d writes; at the first %+v, at the last %+v", len(w.seen), first, last)
	}
	if now := one.g.Status().Transfers; now != nil {
		t.Errorf("at the end: %+v", now)
	}
}
