package cluster

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/beat"
)

// The heartbeats of all groups that this node leads go to a member in one frame (package beat).
// raft asks for them group by group, and takes them so, as if each had come alone.

// the number of the stream that the frames go through: the node itself
const beatStream = nodeGroup

func (n *Node) newBeats() *beat.Beats {
	return beat.New(beat.Options{
		Member: n.member, Timeout: n.opts.HeartbeatTimeout, Now: monotonic, Hear: n.hearer,
		Logf: n.opts.Logf,
	}, n.port.Stream(beatStream))
}

// beatsTo returns what sends heartbeats to a member.
func (n *Node) beatsTo(member uint16) *beat.Link { return n.beats.To(member) }

// led is a group as its heartbeats see it.
type led struct{ *Group }

// Leads implements beat.Group.
func (g led) Leads(term uint64) bool {
	return g.running.Load() && g.raft.State() == raft.Leader && g.raft.CurrentTerm() == term
}

// Stopped implements beat.Group.
func (g led) Stopped() <-chan struct{} { return g.stop }

// Answered implements beat.Group.
func (g led) Answered(member uint16, term uint64, a beat.Answer, sent int64) {
	if a.State == beat.Taken && a.Term == term {
		g.answered(term, serverID(member), sent, a.LastLog)
	}
	g.quiet.committed(g.raft.CommitIndex())
}

// Took implements beat.Group.
func (g led) Took(now, every int64) {
	if g.isCalm() && g.telling.due(now, every) {
		g.nudge()
	}
}

// Unheard implements beat.Group.
func (g led) Unheard() {
	g.quiet.stir() // who was told what is known no more
	g.brisk()
}

// hearer has raft take the heartbeats of a leader.
func (n *Node) hearer(leader uint16) beat.Hearer {
	id := serverID(leader)
	request := &raft.AppendEntriesRequest{
		RPCHeader: rpcHeader(id),
		Leader:    []byte(id),
	}
	return func(ask beat.Ask, hold time.Duration) beat.Answer {
		request.Term = ask.Term
		return n.hear(ask.Group, request, hold)
	}
}

// hear has raft take one heartbeat.
func (n *Node) hear(
	group uint64,
	request *raft.AppendEntriesRequest,
	hold time.Duration,
) beat.Answer {
	n.mu.Lock()
	g := n.mu.groups[group]
	n.mu.Unlock()
	if g == nil || !g.running.Load() {
		return beat.Answer{}
	}
	answer := make(chan raft.RPCResponse, 1)
	if !g.hearing.beat(raft.RPC{Command: request, RespChan: answer}, hold) {
		return beat.Answer{}
	}
	select {
	case a := <-answer:
		r, ok := a.Response.(*raft.AppendEntriesResponse)
		switch {
		case a.Error != nil || !ok:
			return beat.Answer{}
		case !r.Success:
			return beat.Answer{State: beat.Refused, Term: r.Term, LastLog: r.LastLog}
		}
		return beat.Answer{State: beat.Taken, Term: r.Term, LastLog: r.LastLog}
	default: // raft is shutting down, and says nothing
		return beat.Answer{}
	}
}
