package cluster

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// lease says how long this node surely leads a group. hashicorp/raft has nothing that holds after a
// pause: its contact times are taken when a response is read, so a buffered one revives a deposed
// leader. This lease counts from when the request was sent.
//
// A member that answers an AppendEntries of a term grants no vote to another for a heartbeat
// timeout after that (raft refuses while it knows a leader; a member that has just started stays
// silent that long; a transfer, which bypasses this, ends the lease first). So until the quorum-th
// newest of the send times plus the heartbeat timeout nobody else can be elected. The lease ends
// earlier, for clocks that run at different speeds.
type lease struct {
	timeout time.Duration // raft's heartbeat timeout

	until atomic.Int64 // nanoseconds on the process's clock; noEnd: this node is alone
	mu    sync.Mutex
	term  uint64
	peers map[raft.ServerID]*peerContact
	sent  []int64 // scratch
}

// peerContact is what a member last answered in the present term.
type peerContact struct {
	sent    int64  // when the request was sent that it answered
	lastLog uint64 // its newest entry
}

const noEnd = 1<<63 - 1

// processStart is where the monotonic clock of the leases begins.
var processStart = time.Now()

func monotonic() int64 { return int64(time.Since(processStart)) }

// leaseShare of the heartbeat timeout is what a lease lasts.
func (l *lease) length() int64 { return int64(l.timeout) * 8 / 10 }

// holds is asked before every final segment: one atomic load and the clock.
func (l *lease) holds() bool { return monotonic() < l.until.Load() }

// begin forgets the term before. The lease of a new term begins with the first answers.
func (l *lease) begin(term uint64) {
	l.term, l.peers = term, map[raft.ServerID]*peerContact{}
	l.until.Store(0)
}

// answered notes that a member took an AppendEntries that was sent at the given time.
func (l *lease) answered(term uint64, id raft.ServerID, sent int64, lastLog uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if term < l.term {
		return
	}
	if term > l.term {
		l.begin(term)
	}
	p := l.peers[id]
	if p == nil {
		p = new(peerContact)
		l.peers[id] = p
	}
	p.sent, p.lastLog = max(p.sent, sent), max(p.lastLog, lastLog)
}

// renew computes the end from what the voters of the newest configuration have answered.
func (l *lease) renew(self raft.ServerID, servers []raft.Server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = l.sent[:0]
	voters := 0
	for _, s := range servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if p := l.peers[s.ID]; p != nil && s.ID != self {
			l.sent = append(l.sent, p.sent)
		}
	}
	others := voters / 2 // so many beside this node make a majority
	switch {
	case others == 0:
		l.until.Store(noEnd)
	case len(l.sent) >= others:
		slices.SortFunc(l.sent, func(a, b int64) int { return int(min(1, max(-1, b-a))) })
		l.until.Store(l.sent[others-1] + l.length())
	default:
		l.until.Store(0)
	}
}

// contact returns what is known of a member in the present term.
func (l *lease) contact(id raft.ServerID) (ago time.Duration, lastLog uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.peers[id]
	if p == nil {
		return 0, 0, false
	}
	return time.Duration(monotonic() - p.sent), p.lastLog, true
}

func serverID(member uint16) raft.ServerID { return raft.ServerID(strconv.Itoa(int(member))) }

func memberOf(id raft.ServerID) uint16 {
	n, _ := strconv.ParseUint(string(id), 10, 16)
	return uint16(n)
}
