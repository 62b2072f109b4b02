package cluster

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/beat"
)

// raft repeats its last request to each follower every 50 to 100 ms, with nothing new in it, so
// that the follower hears of what is committed. Once the follower has said yes to such a request it
// is not sent again while the frames of heartbeats tell that it is there: raft's call waits until
// there is something to send, or for a while, and gets the same answer once more. It does not count
// for the lease.
//
// A follower that was started again has forgotten what is committed. Its connection for heartbeats
// broke then, and the request is sent.

const (
	quietTimes = 64 // heartbeat timeouts that a call waits at most
	// part of a heartbeat timeout: how old the last answer to a heartbeat may then be
	freshShare = 3
)

// quiet is what the followers of a group were told last.
type quiet struct {
	mu      sync.Mutex
	told    map[raft.ServerID]toldLast
	waiting atomic.Int32
	commit  atomic.Uint64 // what was known to be committed when somebody looked last
	stirred chan struct{} // closed when there may be something to send; made by who waits
}

// toldLast is a request to which a follower said yes.
type toldLast struct {
	saying saying
	link   uint64 // the connection for heartbeats of that time
	answer raft.AppendEntriesResponse
}

// saying is what a request without entries says.
type saying struct{ term, prev, prevTerm, commit uint64 }

func sayingOf(q *raft.AppendEntriesRequest) saying {
	return saying{q.Term, q.PrevLogEntry, q.PrevLogTerm, q.LeaderCommitIndex}
}

// note takes down that a follower said yes.
func (q *quiet) note(
	id raft.ServerID,
	args *raft.AppendEntriesRequest,
	link uint64,
	answer *raft.AppendEntriesResponse,
) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(args.Entries) > 0 {
		delete(q.told, id)
		return
	}
	if q.told == nil {
		q.told = map[raft.ServerID]toldLast{}
	}
	q.told[id] = toldLast{sayingOf(args), link, *answer}
}

// last returns what a follower answered to that request; false: it was told something else, or over
// another connection.
func (q *quiet) last(
	id raft.ServerID,
	args *raft.AppendEntriesRequest,
	link uint64,
) (raft.AppendEntriesResponse, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t, ok := q.told[id]
	return t.answer, ok && link != 0 && t.link == link && t.saying == sayingOf(args)
}

// stir wakes the calls that wait: there may be something to send.
func (q *quiet) stir() {
	if q.waiting.Load() == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stirred != nil {
		close(q.stirred)
		q.stirred = nil
	}
}

// committed wakes the calls that wait when more is committed than before. What raft writes for
// itself nobody else hears of.
func (q *quiet) committed(index uint64) {
	if q.commit.Swap(index) != index {
		q.stir()
	}
}

// listen returns what is closed when there may be something to send.
func (q *quiet) listen() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stirred == nil {
		q.stirred = make(chan struct{})
	}
	return q.stirred
}

// nothingNew answers a request that a follower need not hear again; false: it is to be sent.
func (t *transport) nothingNew(
	id raft.ServerID,
	args *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse,
	b *beat.Link,
) bool {
	g := t.g
	answer, ok := g.quiet.last(id, args, b.Connection())
	if !ok {
		return false
	}
	g.awaitNews(args)
	ago, _, ok := g.lease.contact(id)
	if !ok || ago > g.lease.timeout/freshShare || b.Connection() == 0 {
		return false
	}
	if _, ok := g.quiet.last(id, args, b.Connection()); !ok {
		return false
	}
	*resp = answer
	return true
}

// awaitNews waits until the log has more than a request says, or more of it is committed, or for a
// while.
func (g *Group) awaitNews(args *raft.AppendEntriesRequest) {
	g.quiet.waiting.Add(1)
	defer g.quiet.waiting.Add(-1)
	stirred := g.quiet.listen() // before the look: what comes after it stirs
	if last, _ := g.log.Last(); last != args.PrevLogEntry || !g.running.Load() ||
		g.raft.CommitIndex() != args.LeaderCommitIndex {
		return
	}
	timer := time.NewTimer(g.lease.timeout * quietTimes)
	defer timer.Stop()
	select {
	case <-stirred:
	case <-timer.C:
	case <-g.stop:
	}
}
