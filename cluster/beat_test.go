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
		func() bool { asks, _ := b.collect(); return len(asks) == len(groups)+1 },
	)
	for range 3 {
		last := b.heard.Load()
		m.until("another frame is answered", func() bool { return b.heard.Load() > last })
	}
	for _, g := range groups {
		last, _, _ := g.lease.contact("2")
		m.until("the lease is renewed", func() bool {
			ago, _, ok := g.lease.contact("2")
			return ok && ago < last+time.Minute && g.Holds(g.Leading())
		})
	}
	if b.older.Load() != 0 {
		t.Error("the member is taken for one of a version before")
	}
}

// TestBeatsDuringAStop: a stop holds the node's lock until the groups have ended, which they do
// only when their heartbeats have.
func TestBeatsDuringAStop(t *testing.T) {
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
	m := newMany(t, 3)
	one := m.start(1)
	m.leader()
	m.deaf(m.start(2))
	m.deaf(m.start(3))
	m.grow(2, 3)
	b := one.node.beatsTo(2)
	m.until("member 2 is known to be older", func() bool { return b.older.Load() > 0 })
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
	m, one := newThree(t)
	two := m.members[2].node
	m.until("it has heard frames", func() bool { _, ok := two.speakers.hold(1); return ok })
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

// TestBeatsInStep: a frame of the first member that sends any has those of this node go out, unless
// they just did; one of another member has not, and without any its own time comes.
func TestBeatsInStep(t *testing.T) {
	n := &Node{member: 3, closing: make(chan struct{}), speakers: newSpeakers()}
	n.opts.HeartbeatTimeout = 24 * time.Hour
	b := &beats{n: n, to: 1, step: make(chan struct{}, 1)}
	n.sending.to = map[uint16]*beats{1: b}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	long := b.every() - b.every()/100
	rest := func(sent int64) chan bool {
		c := make(chan bool, 1)
		go func() { c <- b.rest(timer, sent) }()
		return c
	}
	n.speakers.open[1], n.speakers.open[2] = 1, 1
	n.keepStep(2)
	if len(b.step) > 0 {
		t.Error("it keeps in step with member 2, and member 1 is there")
	}
	rested := rest(monotonic() - long)
	n.keepStep(1)
	if !<-rested {
		t.Error("it is not in step with member 1")
	}
	delete(n.speakers.open, 1)
	rested = rest(monotonic() - long)
	n.keepStep(2)
	if !<-rested {
		t.Error("it is not in step with member 2 when member 1 has gone")
	}
	if late := rest(monotonic() - b.every() - b.every()/stepLate); !<-late {
		t.Error("its own time does not come")
	}
	rested = rest(monotonic())
	b.step <- struct{}{}
	b.step <- struct{}{} // the one before was taken, and no frame went out
	close(n.closing)
	if <-rested {
		t.Error("frames go out one right after the other")
	}
	n.speakers.open[4] = 1
	delete(n.speakers.open, 2)
	for range len(b.step) {
		<-b.step
	}
	if n.keepStep(4); len(b.step) > 0 {
		t.Error("the first member keeps in step with another")
	}
}
