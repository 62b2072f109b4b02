package cluster

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// join makes a member take part in one more group.
func (m *many) join(x *member, id uint64) *Group {
	m.t.Helper()
	g := x.node.Group(id)
	begin := g.Join
	if x.id == 1 {
		begin = g.Start
	}
	if err := begin(&toy{}, nil); err != nil {
		m.t.Fatal(err)
	}
	return g
}

// TestBeatsTogether: what a leader says of all its groups to a member is in one frame, and every
// group's lease rests on the answers.
func TestBeatsTogether(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	var groups []*Group
	for id := HomeGroup + 1; id < HomeGroup+5; id++ {
		g := m.join(one, id)
		m.until("it leads", func() bool { return g.Leading() != 0 })
		for _, other := range []uint16{2, 3} {
			m.join(m.members[other], id)
			m.until("the other is taken in", func() bool { return g.AddNonvoter(other) == nil })
			m.until("the other has caught up", func() bool { return g.CaughtUp(other) })
			m.until("the other is a voter", func() bool { return g.AddVoter(other) == nil })
		}
		groups = append(groups, g)
	}
	b := one.node.beatsTo(2)
	m.until(
		"all groups are in the same frame",
		func() bool {
			for _, g := range append(groups, one.g) {
				if b.Asked(g.ID()) == 0 {
					return false
				}
			}
			return true
		},
	)
	for _, g := range groups {
		for range 3 {
			until := g.lease.until.Load()
			m.until("the lease is renewed", func() bool {
				return g.lease.until.Load() > until && g.Holds(g.Leading())
			})
		}
	}
	if b.Older() {
		t.Error("the member is taken for one of a version before")
	}
}

// TestBeatsDuringAStop: a stop holds the node's lock until the groups have ended, which they do
// only when their heartbeats have.
func TestBeatsDuringAStop(t *testing.T) {
	t.Parallel()
	_, one := newThree(t)
	one.node.mu.Lock()
	defer one.node.mu.Unlock()
	asked := make(chan struct{})
	go func() {
		one.node.beatsTo(2)
		close(asked)
	}()
	select {
	case <-asked:
	case <-time.After(time.Minute):
		t.Fatal("heartbeats wait for the node's lock")
	}
}

// deaf is a member of a version before, which knows no frames of heartbeats.
func (m *many) deaf(x *member) {
	x.port.Stream(beatStream).Close()
}

// TestBeatsToAnOlderMember: members of a version before get raft's own heartbeats. The leader keeps
// its lease by them.
func TestBeatsToAnOlderMember(t *testing.T) {
	t.Parallel()
	m := newMany(t, 3)
	one := m.start(1)
	m.leader()
	m.deaf(m.start(2))
	m.deaf(m.start(3))
	m.grow(2, 3)
	b := one.node.beatsTo(2)
	m.until("member 2 is known to be older", b.Older)
	term := one.g.Leading()
	for range 5 {
		until := one.g.lease.until.Load()
		m.until("the lease is renewed", func() bool { return one.g.lease.until.Load() > until })
	}
	if term == 0 || one.g.Leading() != term {
		t.Errorf("it leads in term %d, was %d", one.g.Leading(), term)
	}
	m.put(one, 0, 10)
	for _, id := range []uint16{2, 3} {
		m.verify(m.members[id], 10)
	}
}

// TestHoldsForAnOlderLeader: a leader of a version before counts on an answer for longer.
func TestHoldsForAnOlderLeader(t *testing.T) {
	t.Parallel()
	m, one := newThree(t)
	two := m.members[2].node
	m.until("it has heard frames", func() bool { _, ok := two.beats.Hold(1); return ok })
	ask := func(from raft.ServerID) *raft.AppendEntriesRequest {
		return &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ID: []byte(from)}}
	}
	if hold := two.holdOf(ask("1")); hold != one.g.lease.timeout {
		t.Errorf("for a leader that sends frames: %v", hold)
	}
	if hold := two.holdOf(ask("7")); hold < one.g.lease.timeout*4/3 {
		t.Errorf("for one that does not: %v", hold)
	}
}
