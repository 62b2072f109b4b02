package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

// leave takes a member out of a group, and deletes what it has of it.
func (m *many) leave(x *member) {
	m.t.Helper()
	// again after an election, as on a busy machine
	m.until("it is removed", func() bool { return m.leader().g.RemoveMember(x.id) == nil })
	if err := x.node.Retire(HomeGroup); err != nil {
		m.t.Fatal(err)
	}
}

// comeBack takes it in again.
func (m *many) comeBack(x *member) {
	m.t.Helper()
	x.g, x.sm = x.node.Group(HomeGroup), &toy{}
	if err := x.g.Join(x.sm, nil); err != nil {
		m.t.Fatal(err)
	}
	m.grow(x.id)
}

// TestMemberComesBack: a member that left a group is taken in again, has all of it, also after
// restarts, and can leave once more. What it held in the meantime is gone.
func TestMemberComesBack(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.put(one, 0, 60)
	three := m.members[3]
	m.verify(three, 60)
	for n := 60; n < 240; n += 60 {
		m.leave(three)
		if ids := three.node.GroupIDs(); len(ids) != 0 {
			t.Fatalf("it left, and has groups %v", ids)
		}
		m.put(m.leader(), n, 30)
		if n == 120 { // it is restarted in between
			m.stop(three)
			three = m.start(3)
			m.grow(3)
		} else {
			m.comeBack(three)
		}
		m.verify(three, n+30)
		m.put(m.leader(), n+30, 30)
		m.stop(three)
		three = m.start(3)
		m.verify(three, n+60)
	}
	if got := three.g.log.ID(); got != HomeGroup|3<<incarnationShift {
		t.Errorf("its log is %x", got)
	}
	m.stop(one)
	next := m.leader()
	m.put(next, 240, 10)
	m.verify(three, 250)
}

// TestNewestMemberIsElected: members changed while one of them was cut off, and then the leader is
// gone. The one that was cut off has never heard of the only other one that is left, which alone
// has the whole log, and votes for it.
func TestNewestMemberIsElected(t *testing.T) {
	t.Parallel()
	m := newMany(t, 4)
	m.start(1)
	m.leader()
	m.start(2)
	m.start(3)
	m.grow(2, 3)
	m.until("member 2 has caught up", m.members[2].g.Fresh)
	m.isolate(2, true)
	four := m.start(4)
	m.grow(4)
	three := m.members[3]
	m.until("member 3 is removed", func() bool { return m.leader().g.RemoveMember(3) == nil })
	m.stop(three)
	if two := m.members[2].g.Members(); two.Has(4) {
		t.Fatalf("member 2 has heard of member 4: %+v", two)
	}
	m.stop(m.members[1])
	m.isolate(2, false)
	if m.leader() != four {
		t.Fatal("another leads")
	}
	m.put(four, 0, 10)
	m.verify(m.members[2], 10)
}

// TestFreshOnlyWithAll: a member that has what it was told in part is not fresh, though nothing
// that it knows of is left to be applied.
func TestFreshOnlyWithAll(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.put(one, 0, 10)
	two := m.members[2]
	m.until("it is fresh", two.g.Fresh)
	if err := two.g.mayAsk(
		&raft.AppendEntriesRequest{LeaderCommitIndex: two.g.position().index + 5}); err != nil ||
		two.g.Fresh() {
		t.Errorf("entries are missing, and it counts as fresh; %v", err)
	}
	m.put(one, 10, 10)
	m.until("it has caught up", two.g.Fresh)
}

// TestForgetfulMember: who came back answers no candidate before it has what it had, keeps its term
// and vote, and never starts the group.
func TestForgetfulMember(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	m.put(one, 0, 60)
	three := m.members[3]
	m.verify(three, 60)
	term := three.g.raft.CurrentTerm()
	had := three.g.position()
	m.leave(three)
	g := three.node.Group(HomeGroup)
	if err := g.Start(&toy{}, nil); err == nil {
		t.Fatal("a group that was left can be started anew")
	}
	m.isolate(3, true)
	if err := g.Join(&toy{}, nil); err != nil {
		t.Fatal(err)
	}
	three.g = g
	for _, request := range []any{&raft.RequestVoteRequest{}, &raft.RequestPreVoteRequest{}} {
		if g.mayAsk(request) == nil {
			t.Errorf("%T is answered by a member that had %+v and has %+v", request, had,
				g.position())
		}
	}
	if err := g.mayAsk(&raft.AppendEntriesRequest{}); err != nil {
		t.Error(err)
	}
	if got := g.raft.CurrentTerm(); got < term {
		t.Errorf("term %d, it was in term %d", got, term)
	}
	m.isolate(3, false)
	m.grow(3)
	m.until("it has caught up", func() bool { return g.mayAsk(&raft.RequestVoteRequest{}) == nil })
	if now := g.position(); now.before(had) {
		t.Errorf("it had %+v and votes with %+v", had, now)
	}
}
