package cluster

import (
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// raft wants to hear of answers to heartbeats for its own look at whether it leads, which asks for a
// majority of the voters. Each answer that it hears of wakes it twice: for the answer, and when it
// asks for the next one. So within tellEvery frames it hears of as many members as it takes, and of
// each within tellRest. The lease rests on all answers.

const (
	tellEvery = 2
	tellRest  = 4 // who is beyond a majority may be needed for one when the members change
)

// tellings is of whom raft has heard.
type tellings struct {
	mu sync.Mutex
	at map[uint16]int64 // when it heard of a member last, on the process's clock
}

// due reports whether raft is to hear of a member's answer now, and takes down that it does. frame
// is the time from one to the next.
func (t *tellings) due(member uint16, servers []raft.Server, now, frame int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	ago := func(m uint16) (frames int64) {
		if at, ok := t.at[m]; ok {
			return (now - at + frame/2) / frame // frames do not come to the millisecond
		}
		return tellRest + 1 // it never has
	}
	own := ago(member)
	voters, fresh, older := 0, 0, 0 // of the others it has heard of so many, and so many are before this one
	for _, s := range servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		switch n := ago(memberOf(s.ID)); {
		case memberOf(s.ID) == member:
		case n < tellEvery:
			fresh++
		case n > own && n <= tellRest && own == tellEvery: // for one frame: it may not answer any more
			older++
		}
	}
	if own < tellEvery || own < tellRest && fresh+older >= voters/2 {
		return false
	}
	if t.at == nil {
		t.at = map[uint16]int64{}
	}
	for m := range t.at {
		if !slices.ContainsFunc(servers, func(s raft.Server) bool { return memberOf(s.ID) == m }) {
			delete(t.at, m)
		}
	}
	t.at[member] = now
	return true
}
