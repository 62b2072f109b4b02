// Package stillness judges whether the nodes have kept hand-overs still while all groups were
// asked.
package stillness

import (
	"slices"
	"sync"
	"time"
)

// Stillness is what somebody who asks all groups knows of each node: that it has kept hand-overs
// still all the time, or that it may have not.
type Stillness struct {
	mu    sync.Mutex
	since time.Time
	lasts time.Duration
	going bool // a group was to go at the begin
	first bool // the first round is not over

	last map[uint16]time.Time // when what a node has heard last was asked
	gaps map[uint16]bool
}

// New begins at a time; going says that a group was to go then. What a node was told holds for so
// long as lasts says.
func New(now time.Time, going bool, lasts time.Duration) *Stillness {
	return &Stillness{
		lasts: lasts,
		since: now,
		going: going,
		first: true,
		last:  map[uint16]time.Time{},
		gaps:  map[uint16]bool{},
	}
}

// Begun says that the first round is over: from now on groups are asked.
func (s *Stillness) Begun() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first = false
}

// Heard notes that a node has heard what was asked, at the latest when it answered. It has kept
// still since what it heard before, if that had not lapsed. When no group was to go at the begin,
// its owner waits for as long before it lets anything go.
func (s *Stillness) Heard(member uint16, asked, answered time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, again := s.last[member]
	if !again {
		last = s.since
	}
	if late := !again && s.going && !s.first; late || answered.Sub(last) > s.lasts {
		s.gaps[member] = true
	}
	s.last[member] = asked
}

// Told reports whether any node has heard of it.
func (s *Stillness) Told() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.last) > 0
}

// Lapsed are the nodes that may have let messages go.
func (s *Stillness) Lapsed() (members []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for m := range s.gaps {
		members = append(members, m)
	}
	slices.Sort(members)
	return members
}
