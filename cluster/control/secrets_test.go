package control

import "testing"

// TestClusterKeys: keys are given in order, to members alone; another key of a member for its boxes
// ends those; all of it is read again; older members refuse it.
func TestClusterKeys(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2")
	refused(t, b.SetSealKey(ctx, 1, 1, "k1"), ErrInvalid, "needs protocol 8")
	for _, m := range b.State.Members() {
		must(t, b.SetVersion(ctx, m.ID, "2.0", SecretsProtocol))
	}
	for _, m := range b.State.Members() {
		must(t, b.SetSealKey(ctx, m.ID, m.Incarnation, "k"+m.Name))
	}
	refused(t, b.SetSealKey(ctx, 1, 99, "k9"), ErrInvalid, "another disk")
	one := KeyEpoch{Epoch: 1, Boxes: []KeyBox{{1, []byte("box")}}}
	must(t, b.NewClusterKey(ctx, one))
	refused(t, b.NewClusterKey(ctx, one), ErrStale, "number 1")
	must(t, b.ShareClusterKey(ctx, 1, KeyBox{2, []byte("box 2")}))
	must(t, b.ShareClusterKey(ctx, 1, KeyBox{2, []byte("another")})) // it has one
	refused(t, b.ShareClusterKey(ctx, 1, KeyBox{3, []byte("box")}), ErrUnknown, "no member 3")
	refused(t, b.ShareClusterKey(ctx, 7, KeyBox{2, []byte("box")}), ErrUnknown, "no key 7")
	if k := b.State.ClusterKeys(); len(k) != 1 || string(k[0].Boxes[1].Sealed) != "box 2" {
		t.Errorf("keys %+v", k)
	}
	refused(t, b.DropClusterKey(ctx, 1), ErrInvalid, "in use")

	must(t, b.SetSealKey(ctx, 2, 2, "another"))
	if have, lack := b.State.Holders(); len(have) != 1 || len(lack) != 1 || lack[0] != "mx2" {
		t.Errorf("have it: %v, lack it: %v", have, lack)
	}
	must(t, b.ShareClusterKey(ctx, 1, KeyBox{2, []byte("box")}))
	must(t, b.Remove(ctx, 2))
	if !b.State.KeyExposed() {
		t.Error("who was removed knows the key")
	}
	refused(t, b.NewClusterKey(ctx, KeyEpoch{Epoch: 2, Boxes: []KeyBox{{2, []byte("box")}}}),
		ErrInvalid, "was removed")
	must(t, b.NewClusterKey(ctx, KeyEpoch{Epoch: 2, Boxes: []KeyBox{{1, []byte("box")}}}))
	must(t, b.DropClusterKey(ctx, 1))
	if b.State.KeyExposed() {
		t.Error("the new key is known to nobody else")
	}
	again := New()
	must(t, again.Load(b.store))
	if k := again.ClusterKeys(); len(k) != 1 || k[0].Epoch != 2 {
		t.Errorf("read again: %+v", k)
	}
}
