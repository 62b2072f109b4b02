package cluster

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestTwoStandAtOnce: when the leader is gone and both others stand at the same moment, one of them
// is elected in the next term. Else each might vote for itself, and raft would wait for a timeout
// and more.
func TestTwoStandAtOnce(t *testing.T) {
	t.Parallel()
	m, _ := newThree(t)
	led := m.leader()
	term := led.g.raft.CurrentTerm()
	m.stop(led)
	m.until("another one leads", func() bool {
		for _, x := range m.members {
			if x != led && x.g.hearing.free() && x.g.raft.State() == raft.Follower {
				x.g.campaign()
			}
		}
		for _, x := range m.members {
			if x != led && x.g.Leading() != 0 {
				return true
			}
		}
		return false
	})
	if now := m.leader().g.raft.CurrentTerm(); now != term+1 {
		t.Errorf("term %d, want %d: the votes were split", now, term+1)
	}
}

// TestAheadStandsAtOnce: who is asked for its vote by a member whose log is shorter waits for
// nobody any more.
func TestAheadStandsAtOnce(t *testing.T) {
	n, g := startWith(t, Options{Dir: t.TempDir()}, &toy{})
	defer n.Close()
	for _, lacks := range []uint64{0, 1} {
		last, term := g.log.Last()
		own, answer := raft.RPC{}, make(chan raft.RPCResponse, 1)
		own.Command, own.RespChan = &raft.RequestPreVoteRequest{
			Term:         term + 1,
			LastLogTerm:  term,
			LastLogIndex: last - lacks,
		}, answer
		g.contest(&own, "2")
		own.Respond(&raft.RequestPreVoteResponse{Granted: lacks == 0}, nil)
		<-answer
		if g.ahead.Load() != (lacks > 0) {
			t.Errorf(
				"it waits for its turn: %v; the candidate lacks %d entries",
				!g.ahead.Load(),
				lacks,
			)
		}
	}
}

// TestShorterLogGivesWay: a member that stands before another promises that one nothing, unless the
// other has more in its log. Else neither is elected until the first has stood for long enough.
func TestShorterLogGivesWay(t *testing.T) {
	t.Parallel()
	m, _ := newThree(t)
	led := m.leader()
	first, second := m.members[1], m.members[2]
	switch led {
	case first:
		first = m.members[3]
	case second:
		second = m.members[3]
	}
	servers := first.g.servers()
	place := func(x *member) int { return rank(x.g.id, servers, led.g.serverID(), x.g.serverID()) }
	if place(first) > place(second) {
		first, second = second, first
	}
	g, candidate := first.g, second.g.serverID()
	m.until("the first knows the leader", func() bool {
		g.campaigned.note(g)
		leader, _ := g.campaigned.since(time.Hour)
		return leader == led.g.serverID()
	})
	m.stop(second)
	m.stop(led)
	m.until("the first stands", func() bool { return g.raft.State() == raft.Candidate })
	last, term := g.log.Last()
	// ask returns whether the first promises its vote to one with so many entries more.
	ask := func(has uint64) bool {
		rpc, answer := raft.RPC{}, make(chan raft.RPCResponse, 1)
		rpc.Command, rpc.RespChan = &raft.RequestPreVoteRequest{
			Term:         g.raft.CurrentTerm() + 1,
			LastLogTerm:  term,
			LastLogIndex: last + has,
		}, answer
		g.contest(&rpc, candidate)
		rpc.Respond(&raft.RequestPreVoteResponse{Granted: true}, nil)
		a := <-answer
		return a.Response.(*raft.RequestPreVoteResponse).Granted
	}
	for _, has := range []uint64{0, 1} {
		for {
			g.campaigned.note(g)
			granted := ask(has)
			if _, lately := g.campaigned.since(g.lease.timeout); !lately {
				continue // the machine stood still, and it is some time ago that the first stood
			}
			if granted != (has > 0) {
				t.Errorf("promised: %v, to one with %d entries more", granted, has)
			}
			break
		}
	}
}
