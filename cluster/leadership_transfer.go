package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// A transfer has a member stand for election although everybody knows a leader, so it takes away
// what the lease rests on. What raft sends for that, TimeoutNow, has no term and no date: one that
// lay in the socket of a process that was stopped, or in a network that hung, would depose a leader
// long after the transfer was given up. So a member stands only within campaignTime, by its own
// clock,
// of having said that it is ready to; the leader asks it just before. Who was told to stand by then
// has been elected, or never will be, within two heartbeat timeouts more.

// campaignTime is how long a member that said it is ready stands when it is told to.
func (g *Group) campaignTime() time.Duration { return g.lease.timeout / 2 }

// handing is what a member knows of transfers: as the leader who hands over, and as the one who is
// to stand.
type handing struct {
	turn chan struct{} // one transfer at a time
	// this member stands when it is told to, up to this time on the process's clock
	until atomic.Int64

	mu   sync.Mutex
	open bool
	told int64 // when the other member was told to stand, on the process's clock; 0: it was not
}

func (h *handing) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open, h.told = true, 0
}

// end ends the transfer: from now on nobody is told to stand.
func (h *handing) end() (told int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = false
	return h.told
}

// underWay reports whether this member hands over, or is to stand when it is told to.
func (h *handing) underWay() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open || monotonic() < h.until.Load()
}

// tell notes that the other member is told to stand now; false: the transfer has ended.
func (h *handing) tell() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open {
		h.told = monotonic()
	}
	return h.open
}

// TimeoutNow implements raft.Transport. As long as raft waits for the answer it takes no proposals,
// even when it has given the transfer up: who has not answered within a heartbeat timeout counts as
// one that does not stand.
func (t *transport) TimeoutNow(
	id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest,
	_ *raft.TimeoutNowResponse,
) error {
	ctx, cancel := context.WithTimeout(t.g.ctx, t.g.lease.timeout)
	defer cancel()
	if err := t.g.node.Call(ctx, memberOf(id), http.MethodPost,
		fmt.Sprintf("/cluster/stand?group=%d", t.g.id), nil, nil); err != nil {
		return fmt.Errorf("member %s is not ready to take over: %w", id, err)
	}
	if !t.g.handing.tell() {
		return errors.New("the transfer was given up")
	}
	answer := make(chan error, 1)
	// ends after rpcTimeout
	go func() {
		answer <- t.NetworkTransport.TimeoutNow(id, target, args, new(raft.TimeoutNowResponse))
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("member %s was told to take over and has not answered: %w", id, ctx.Err())
	}
}

func (n *Node) serveCampaign(w http.ResponseWriter, r *http.Request) {
	g := n.asked(w, r)
	if g == nil {
		return
	}
	switch err := g.mayCampaign(); err {
	case nil:
		g.handing.until.Store(monotonic() + int64(g.campaignTime()))
		g.brisk() // should it not be elected at once, it tries again as any candidate
	default:
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

// Consumer implements raft.Transport: what the others ask of this member.
func (t *transport) Consumer() <-chan raft.RPC { return t.asked }

var errNotAsked = errors.New("this member was not asked to take over, or long ago")

// filterRPCs passes on what the others may ask: no TimeoutNow that comes too late, no vote of a
// member in
// quarantine, none for a past that is another one (pasts.go), and nothing of a leader's log before
// it was compared with (meet.go). It ends with the group.
func (t *transport) filterRPCs() {
	var pasts pasts
	meetings := meetings{g: t.g, over: make(chan *meeting)}
	checked := make(chan *candidacy)
	for {
		var rpc raft.RPC
		var c *candidacy // that was checked
		select {
		case rpc = <-t.NetworkTransport.Consumer():
		case c = <-checked:
			rpc = c.rpc
			pasts.note(t.g, c)
		case met := <-meetings.over:
			for _, rpc := range meetings.end(met) {
				t.pass(rpc)
			}
			continue
		case <-t.g.stop:
			return
		}
		if t.g.answerInstalled(rpc) {
			continue
		}
		err := t.g.mayAsk(rpc.Command)
		if c == nil && err == nil {
			if c := t.g.doubtful(rpc, &pasts); c != nil {
				t.g.done.Go(func() { t.g.check(c, checked) })
				continue
			}
		}
		if c != nil {
			err = cmp.Or(err, c.err)
		}
		if err == nil {
			t.g.anyCandidate(rpc.Command)
			err = t.g.hears(&rpc)
		}
		held := false
		if err == nil {
			held, err = meetings.hold(rpc, &pasts)
		}
		switch {
		case err != nil:
			rpc.Respond(nil, err)
		case !held:
			t.pass(rpc)
		}
	}
}

// pass gives a request to raft, if it still takes some.
func (t *transport) pass(rpc raft.RPC) {
	select {
	case t.asked <- rpc:
	case <-t.g.stop:
	}
}

// hears takes note of a leader's request, and prepares a candidate's. An error: this member has
// heard a leader, and grants no vote.
func (g *Group) hears(rpc *raft.RPC) error {
	switch q := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		g.hearing.note(q.Term, g.node.holdOf(q))
	case *raft.RequestPreVoteRequest:
		candidate := raft.ServerID(q.Addr) // before another name is put there
		if err := g.hearing.preVote(q); err != nil {
			return err
		}
		g.contest(rpc, candidate)
	case *raft.RequestVoteRequest:
		return g.hearing.vote(rpc)
	}
	return nil
}

// anyCandidate has raft judge a candidate by its term and its log alone. By itself raft votes only
// for voters of the configuration that it has, and so not for a member that was taken in while this
// one heard nothing; with the leader gone, nobody would be elected though a majority is there.
// Members change one by one, so that the log decides (Ongaro, "Consensus: Bridging Theory and
// Practice", 4.1).
func (g *Group) anyCandidate(request any) {
	var header *raft.RPCHeader
	switch q := request.(type) {
	case *raft.RequestVoteRequest:
		header = &q.RPCHeader
	case *raft.RequestPreVoteRequest:
		header = &q.RPCHeader
	default:
		return
	}
	for _, s := range g.servers() {
		if s.Suffrage == raft.Voter {
			header.ID = []byte(s.ID) // raft looks it up among the voters, and votes for Addr
			return
		}
	}
}
