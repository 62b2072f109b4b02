package cluster

import (
	"testing"
)

// watched looks at the status of a group while it gives its state away.
type watched struct {
	g    *Group
	seen []TransferProgress
}

func (w *watched) Write(b []byte) (int, error) {
	w.seen = append(w.seen, w.g.Status().Transfers[7])
	return len(b), nil
}

// TestTransferProgressIsSeen: how far a state is that another member takes over is known while it
// is on its way, and about how much it is in all.
func TestTransferProgressIsSeen(t *testing.T) {
	m := newMany(t, 1)
	one := m.start(1)
	m.leader()
	m.put(one, 0, 300)
	if err := one.node.db.Flush(); err != nil {
		t.Fatal(err)
	}
	w := &watched{g: one.g}
	if err := one.g.giveState(t.Context(), 7, w); err != nil {
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

// TestGivingTwice: a member that asks again has given up what it asked for before, whose end
// changes nothing.
func TestGivingTwice(t *testing.T) {
	var gs transfers
	_, endFirst := gs.begin(3, nil, 10)
	_, endSecond := gs.begin(3, nil, 20)
	endFirst()
	if now := gs.now(); len(now) != 1 || now[3].Of != 20 {
		t.Errorf("%+v", now)
	}
	endSecond()
	if now := gs.now(); now != nil {
		t.Errorf("%+v", now)
	}
}
