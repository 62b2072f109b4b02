package control

import (
	"strings"
	"testing"
)

// upgrade makes a member speak a protocol.
func (b *bench) upgrade(member uint16, version string, protocol int) {
	b.t.Helper()
	must(b.t, b.SetVersion(ctx, member, version, protocol))
}

// TestProtocolRisesWithTheLastMember: what is new is refused, with the names of those who hold it
// up, until all understand it; then there is no way back.
func TestProtocolRisesWithTheLastMember(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2", "mx3")
	refused(t, b.State.Needs(2, "a suspension"), ErrInvalid,
		"a suspension needs protocol 2 of every node, and the cluster speaks 1: upgrade mx1 "+
			"(version 1.0), mx2 (version 1.0), mx3 (version 1.0) first")
	b.upgrade(2, "2.0", 2)
	b.upgrade(2, "1.0", 1) // a roll-back before all are upgraded
	b.upgrade(2, "2.0", 2)
	b.upgrade(1, "2.0", 2)
	refused(t, b.State.Needs(2, "it"), ErrInvalid, "upgrade mx3 (version 1.0) first")
	if err := b.State.TooOld(1); err != nil || b.State.MinProtocol() != 1 {
		t.Errorf("before the last: %v, %d", err, b.State.MinProtocol())
	}
	b.upgrade(3, "2.1", 3)
	must(t, b.State.Needs(2, "it"))
	refused(t, b.State.Needs(3, "it"), ErrInvalid,
		"upgrade mx1 (version 2.0), mx2 (version 2.0) first")
	if err := b.State.TooOld(1); err == nil ||
		!strings.Contains(err.Error(), "start a newer version") {
		t.Errorf("an old program: %v", err)
	}
	must(t, b.State.TooOld(2))
	refused(t, b.SetVersion(ctx, 1, "1.0", 1), ErrInvalid, "start a newer version")
	old := b.node("mx4")
	old.Protocol = 1
	_, err := b.AddMember(ctx, old)
	refused(t, err, ErrInvalid, "upgrade it, then join")
}

// TestOldProgramMeetsTheRise: a program that was started again too old applies what it may, and not
// the command after the one that raised the protocol, though it knows the command's type.
func TestOldProgramMeetsTheRise(t *testing.T) {
	b := newBench(t)
	b.members("mx1", "mx2")
	b.upgrade(1, "2.0", 2)
	b.upgrade(2, "2.0", 2)
	must(t, b.Drain(ctx, 2))
	old := newStore(New())
	s := old.Machine.(*State)
	for i, data := range b.store.Log {
		err := s.Understands(data, 1)
		if last := i == len(b.store.Log)-1; (err != nil) != last {
			t.Fatalf("command %d of %d: %v", i+1, len(b.store.Log), err)
		}
		if err == nil {
			s.Apply(old, uint64(i+1), 1, data, nil)
		}
	}
	s.Committed()
	again := New() // and after a restart the rows say so
	must(t, again.Load(old))
	if again.TooOld(1) == nil || again.Understands(b.store.Log[0], 1) == nil ||
		again.Understands(b.store.Log[0], 2) != nil {
		t.Error("the rows do not tell")
	}
}
