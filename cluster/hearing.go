package cluster

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// A leader's lease rests on this: a member grants no vote for some time after it has answered the
// leader. hashicorp/raft keeps to that only by and by: a member knows its leader until
// a timer of its own finds it silent, which has no relation to when that leader was heard, and
// takes up to three heartbeat timeouts; until then it refuses all candidates. So a member notes
// itself when it heard a leader, refuses votes up to the end of that time, and grants them from
// then on, whatever raft believes.

var errHeard = errors.New("this member has heard a leader lately")

// hearing is what a member knows of leaders that it has heard.
type hearing struct {
	g     *Group
	take  func(raft.RPC) // raft's way for heartbeats, beside its main loop
	heard atomic.Int64   // when the last leader's request came, on the process's clock
	bound atomic.Int64   // no vote is granted before

	// A heartbeat that is answered while a vote is being decided would renew a lease that the vote
	// does away with.
	gate   sync.RWMutex // heartbeats share it
	voting int          // votes that raft decides; guarded by gate
}

// note takes down that a leader's request has come, to which it counts the answer for so long.
// Coming is later than being sent, from when it counts.
func (h *hearing) note(term uint64, hold time.Duration) {
	if h.g.running.Load() && term < h.g.raft.CurrentTerm() {
		return
	}
	now := monotonic()
	h.heard.Store(now)
	for until := now + int64(hold); ; {
		old := h.bound.Load()
		if old >= until || h.bound.CompareAndSwap(old, until) {
			return
		}
	}
}

// beat has raft take a heartbeat at once; false: not now, a vote is being decided, or raft has not
// begun.
func (h *hearing) beat(rpc raft.RPC, hold time.Duration) bool {
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.voting > 0 || h.take == nil {
		return false
	}
	h.note(rpc.Command.(*raft.AppendEntriesRequest).Term, hold)
	h.take(rpc)
	return true
}

// free reports whether a member that does not lead may grant its vote.
func (h *hearing) free() bool { return monotonic() >= h.bound.Load() }

// preVote prepares a question whether this member would vote. An error: it would not.
func (h *hearing) preVote(q *raft.RequestPreVoteRequest) error {
	if !h.free() {
		return errHeard
	}
	if leader, stale := h.stale(); stale {
		// raft refuses whoever is not the leader that it knows, and asks no more of this name
		q.Addr = []byte(leader)
	}
	return nil
}

// vote prepares a request for this member's vote, whose answer it waits for. An error: it gets
// none.
func (h *hearing) vote(rpc *raft.RPC) error {
	q := rpc.Command.(*raft.RequestVoteRequest)
	h.gate.Lock()
	defer h.gate.Unlock()
	if !q.LeadershipTransfer {
		if !h.free() {
			return errHeard
		}
		_, stale := h.stale()
		// which is all that this does: raft votes although it knows a leader
		q.LeadershipTransfer = stale
	}
	h.voting++
	answer, own := rpc.RespChan, make(chan raft.RPCResponse, 1)
	rpc.RespChan = own
	h.g.done.Go(func() {
		select {
		case a := <-own:
			h.decided()
			answer <- a
		case <-h.g.stop:
		}
	})
	return nil
}

func (h *hearing) decided() {
	h.gate.Lock()
	defer h.gate.Unlock()
	h.voting--
}

// stale returns the leader that raft knows and this member does not follow any more.
func (h *hearing) stale() (raft.ServerID, bool) {
	if !h.g.running.Load() || h.g.raft.State() != raft.Follower {
		return "", false
	}
	_, id := h.g.raft.LeaderWithID()
	return id, id != ""
}
