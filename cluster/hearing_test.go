package cluster

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// hearer is a group that does not run, as far as heartbeats and votes go.
func hearer() *Group {
	g := &Group{stop: make(chan struct{})}
	g.hearing = hearing{
		g:    g,
		take: func(rpc raft.RPC) { rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil) },
	}
	return g
}

func (g *Group) beatOnce() bool {
	return g.hearing.beat(
		raft.RPC{
			Command:  &raft.AppendEntriesRequest{Term: 3},
			RespChan: make(chan raft.RPCResponse, 1),
		},
		time.Hour,
	)
}

func askVote(transfer bool) (raft.RPC, chan raft.RPCResponse) {
	answer := make(chan raft.RPCResponse, 1)
	return raft.RPC{
		Command:  &raft.RequestVoteRequest{Term: 4, LeadershipTransfer: transfer},
		RespChan: answer,
	}, answer
}

// TestNoVoteWhileALeaderCounts: who has heard a leader votes for nobody for as long as that one
// counts on it; only in a transfer, which has ended the lease.
func TestNoVoteWhileALeaderCounts(t *testing.T) {
	g := hearer()
	if !g.beatOnce() {
		t.Fatal("the heartbeat is not taken")
	}
	rpc, _ := askVote(false)
	if err := g.hears(&rpc); !errors.Is(err, errHeard) {
		t.Errorf("a vote: %v", err)
	}
	if err := g.hears(&raft.RPC{Command: &raft.RequestPreVoteRequest{Term: 4}}); !errors.Is(
		err,
		errHeard,
	) {
		t.Errorf("a question for a vote: %v", err)
	}
	g.hearing.bound.Store(monotonic())
	if err := g.hears(&raft.RPC{Command: &raft.RequestPreVoteRequest{Term: 4}}); err != nil {
		t.Errorf("a question for a vote after that time: %v", err)
	}
	if err := g.hears(&rpc); err != nil {
		t.Errorf("a vote after that time: %v", err)
	}
	if rpc, _ := askVote(true); g.hears(&rpc) != nil {
		t.Error("a transfer is refused")
	}
}

// TestNoHeartbeatDuringAVote: a heartbeat that was answered between the decision to vote and the
// vote would renew a lease that the vote ends.
func TestNoHeartbeatDuringAVote(t *testing.T) {
	g := hearer()
	rpc, answer := askVote(false)
	if err := g.hears(&rpc); err != nil {
		t.Fatal(err)
	}
	if g.beatOnce() {
		t.Fatal("a heartbeat is answered while raft decides a vote")
	}
	rpc.Respond(&raft.RequestVoteResponse{Granted: true}, nil)
	if a := <-answer; !a.Response.(*raft.RequestVoteResponse).Granted {
		t.Error("the candidate does not hear of its vote")
	}
	if !g.beatOnce() {
		t.Error("no heartbeat is answered after the vote")
	}
}

// TestBoundNeverFalls: a leader that counts on less does not shorten what another was promised.
func TestBoundNeverFalls(t *testing.T) {
	g := hearer()
	g.hearing.note(3, time.Hour)
	bound := g.hearing.bound.Load()
	g.hearing.note(3, time.Second)
	if g.hearing.bound.Load() != bound {
		t.Error("it fell")
	}
}

// TestRanks: the voters that are left stand one after the other, and another one first in the next
// group.
func TestRanks(t *testing.T) {
	var servers []raft.Server
	for i := 1; i <= 5; i++ {
		servers = append(
			servers,
			raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(fmt.Sprint(i))},
		)
	}
	servers = append(servers, raft.Server{Suffrage: raft.Nonvoter, ID: "6"})
	firsts := map[uint16]bool{}
	for group := range uint64(4) {
		var ranks []int
		for member := uint16(1); member <= 5; member++ {
			g := &Group{id: group, node: &Node{member: member}}
			if rank := rank(g.id, servers, "2", g.serverID()); member != 2 {
				ranks = append(ranks, rank)
				firsts[member] = firsts[member] || rank == 0
			}
		}
		slices.Sort(ranks)
		if !slices.Equal(ranks, []int{0, 1, 2, 3}) {
			t.Errorf("group %d: %v", group, ranks)
		}
	}
	if len(firsts) != 4 || firsts[2] {
		t.Errorf("first in some group: %v", firsts)
	}
}
