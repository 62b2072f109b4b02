package cluster

import (
	"cmp"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Two members that stand at once, as on a machine that is too busy for the first to be elected
// before the next one's turn, may each have promised the other its vote: both then vote for
// themselves, and raft waits one to two timeouts before it tries again. So for a while a member
// that stands promises nothing that it cannot keep: not to one that comes after it, and not in a
// term in which it has voted for itself. And a member that is asked by one whose log is shorter
// than its own, and so cannot win, stands without waiting for its turn; the one that cannot win
// then promises it what it asks for, though it stands itself.

// campaigned is when this member stood for election last.
type campaigned struct {
	mu     sync.Mutex
	at     int64         // on the process's clock
	leader raft.ServerID // who led before
}

func (s *campaigned) note(g *Group) {
	_, leader := g.raft.LeaderWithID()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = monotonic()
	if leader != "" {
		s.leader = leader
	}
}

// since returns the leader before, and whether it is less than so long ago.
func (s *campaigned) since(d time.Duration) (leader raft.ServerID, lately bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader, s.at > 0 && monotonic()-s.at < int64(d)
}

// contest takes the promise that raft gives a candidate back where it is not to be kept.
func (g *Group) contest(rpc *raft.RPC, candidate raft.ServerID) {
	q := rpc.Command.(*raft.RequestPreVoteRequest)
	answer, own := rpc.RespChan, make(chan raft.RPCResponse, 1)
	rpc.RespChan = own
	g.done.Go(func() {
		select {
		case a := <-own:
			if r, ok := a.Response.(*raft.RequestPreVoteResponse); ok {
				r.Granted = r.Granted && !g.contends(candidate, q)
				if !r.Granted && g.surplus(q) > 0 {
					g.hurry()
				}
			}
			answer <- a
		case <-g.stop:
		}
	})
}

// contends reports whether this member stands itself, in the candidate's term already, or before it
// and with as much in its log.
func (g *Group) contends(candidate raft.ServerID, q *raft.RequestPreVoteRequest) bool {
	if !g.running.Load() || g.raft.State() != raft.Candidate {
		return false
	}
	leader, lately := g.campaigned.since(g.lease.timeout)
	servers := g.servers()
	before := rank(g.id, servers, leader, g.serverID()) < rank(g.id, servers, leader, candidate)
	return lately && (g.raft.CurrentTerm() >= q.Term || before && g.surplus(q) >= 0)
}

// surplus is above 0 if this member's log has more than a candidate's, below it if it has less.
func (g *Group) surplus(q *raft.RequestPreVoteRequest) int {
	last, term := g.log.Last()
	return cmp.Or(cmp.Compare(term, q.LastLogTerm), cmp.Compare(last, q.LastLogIndex))
}

// hurry has this member stand as soon as it may.
func (g *Group) hurry() {
	if !g.hearing.free() {
		return
	}
	g.ahead.Store(true)
	select {
	case g.node.look <- struct{}{}:
	default:
	}
}
