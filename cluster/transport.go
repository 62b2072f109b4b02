package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/beat"
	"github.com/postroad/postroad/cluster/wire"
)

// rpcTimeout bounds one exchange of raft's.
const rpcTimeout = 10 * time.Second

// transport carries one group's raft messages: hashicorp's own over the streams of the node's port,
// and around it what the lease needs. Of one type with all methods, because raft finds pre-vote and
// close by type assertion.
type transport struct {
	*raft.NetworkTransport
	g     *Group
	asked chan raft.RPC
}

func (n *Node) newTransport(g *Group) raft.Transport {
	if n.port == nil {
		_, t := raft.NewInmemTransport(raft.ServerAddress(g.self()))
		return t
	}
	t := &transport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: streams{n.port.Stream(g.id), g}, MaxPool: 3, MaxRPCsInFlight: 1,
		Timeout: rpcTimeout, Logger: n.raftLogger(),
	}), g, make(chan raft.RPC)}
	g.done.Go(t.filterRPCs)
	return t
}

// streams implements raft.StreamLayer. An address is a member's number.
type streams struct {
	*wire.Stream
	g *Group
}

// Addr implements net.Listener: what raft calls the local address.
func (s streams) Addr() net.Addr { return memberAddr(s.g.self()) }

type memberAddr string

func (memberAddr) Network() string  { return "member" }
func (a memberAddr) String() string { return string(a) }

// Dial implements raft.StreamLayer.
func (s streams) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return s.DialMember(memberOf(raft.ServerID(address)), min(timeout, 3*time.Second))
}

// AppendEntries implements raft.Transport; it renews the lease from when the request was sent.
// Heartbeats go with those of other groups.
func (t *transport) AppendEntries(
	id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse,
) error {
	b := t.g.node.beatsTo(memberOf(id))
	if isHeartbeat(args) {
		a, err := b.Ask(led{t.g}, args.Term)
		if !errors.Is(err, beat.ErrOlder) {
			resp.Term, resp.LastLog, resp.Success = a.Term, a.LastLog, a.State == beat.Taken
			return err
		}
	}
	link := b.Connection()
	if len(args.Entries) == 0 && t.nothingNew(id, args, resp, b) {
		return nil
	}
	t.g.nameReign(args)
	sent := monotonic()
	if err := t.NetworkTransport.AppendEntries(id, target, args, resp); err != nil {
		return err
	}
	if resp.Term == args.Term && resp.Success {
		t.g.quarantine.remember(id, args)
		t.g.answered(args.Term, id, sent, resp.LastLog)
		t.g.quiet.note(id, args, link, resp)
	}
	return nil
}

// RequestVote implements raft.Transport. A member in quarantine asks nobody, so it is not elected.
func (t *transport) RequestVote(
	id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest,
	resp *raft.RequestVoteResponse,
) error {
	if err := t.g.mayCampaign(); err != nil {
		return err
	}
	return t.NetworkTransport.RequestVote(id, target, args, resp)
}

// InstallSnapshot implements raft.Transport. A snapshot is a marker of constant size, so the member
// is first told to take over the state behind it; that may take long, and raft of either side does
// not wait for it.
func (t *transport) InstallSnapshot(
	id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest,
	resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := context.AfterFunc(t.g.ctx, cancel)
	defer stop()
	path := fmt.Sprintf("/cluster/fetch?group=%d&from=%s&index=%d&term=%d", t.g.id, t.g.self(),
		args.LastLogIndex, args.LastLogTerm)
	if err := t.g.node.Call(ctx, memberOf(id), http.MethodPost, path, nil, nil); err != nil {
		return fmt.Errorf("member %s takes over the state of group %d: %w", id, t.g.id, err)
	}
	return t.NetworkTransport.InstallSnapshot(id, target, args, resp, data)
}

// rpcHeader is what raft puts into each request and answer of a member.
func rpcHeader(id raft.ServerID) raft.RPCHeader {
	return raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax,
		ID:              []byte(id),
		Addr:            []byte(id),
	}
}

// isHeartbeat tells what raft's receiving side takes beside its main loop: a request that says
// nothing but who leads.
func isHeartbeat(q *raft.AppendEntriesRequest) bool {
	return len(q.Entries) == 0 && q.PrevLogEntry == 0 && q.PrevLogTerm == 0 &&
		q.LeaderCommitIndex == 0
}

// SetHeartbeatHandler implements raft.Transport.
func (t *transport) SetHeartbeatHandler(take func(raft.RPC)) {
	h := &t.g.hearing
	h.gate.Lock()
	h.take = take
	h.gate.Unlock()
	t.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if !h.beat(rpc, t.g.node.holdOf(rpc.Command.(*raft.AppendEntriesRequest))) {
			rpc.Respond(nil, beat.ErrAway)
		}
	})
}

// holdOf is how long the sender of a request of raft's counts on the answer.
func (n *Node) holdOf(q *raft.AppendEntriesRequest) time.Duration {
	if hold, ok := n.beats.Hold(memberOf(raft.ServerID(q.ID))); ok {
		return hold
	}
	return n.longest()
}

// answered notes a member's answer and renews the lease, unless a transfer is under way.
func (g *Group) answered(term uint64, id raft.ServerID, sent int64, lastLog uint64) {
	if sent < g.noLease.Load() {
		return
	}
	g.lease.answered(term, id, sent, lastLog)
	g.lease.renew(g.serverID(), g.servers())
}
