package node

import (
	"slices"
	"sync"
	"time"
)

// stillness is what somebody who asks all groups knows of each node: that it has kept hand-overs
// still all the time, or that it may have not.
type stillness struct {
	mu    sync.Mutex
	since time.Time
	going bool // a group was to go at the begin
	first bool // the first round is not over

	last map[uint16]time.Time // when what a node has heard last was asked
	gaps map[uint16]bool
}

func newStillness(now time.Time, going bool) *stillness {
	return &stillness{
		since: now,
		going: going,
		first: true,
		last:  map[uint16]time.Time{},
		gaps:  map[uint16]bool{},
	}
}

// begun says that the first round is over: from now on groups are asked.
func (s *stillness) begun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first = false
}

// heard notes that a node has heard what was asked, at the latest when it answered. It has kept
// still since what it heard before, if that had not lapsed. When no group was to go at the begin,
// its owner waits for as long before it lets anything go.
func (s *stillness) heard(member uint16, asked, answered time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, again := s.last[member]
	if !again {
		last = s.since
	}
	if late := !again && s.going && !s.first; late || answered.Sub(last) > stillLasts {
		s.gaps[member] = true
	}
	s.last[member] = asked
}

// told reports whether any node has heard of it.
func (s *stillness) told() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.last) > 0
}

// lapsed are the nodes that may have let messages go.
func (s *stillness) lapsed() (members []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for m := range s.gaps {
		members = append(members, m)
	}
	slices.Sort(members)
	return members
}
