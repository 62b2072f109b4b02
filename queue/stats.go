package queue

import "github.com/postroad/postroad/queue/machine"

// Stats are figures for metrics, as of the last batch that was applied.
type Stats struct {
	Messages, Bytes, Reports uint64
	Recipients               [Removed + 1]uint64 // by state; of final states, those of all time
	Accepted, DoubleBounces  uint64              // of all time
	// Since the process started; moves are counted by the owner only:
	Moves            map[Reason]uint64
	Repeated         uint64 // proposals repeated because their outcome was unknown
	AcceptedAfter451 uint64
	Refused          uint64 // submissions refused because the front was full
	Fenced           uint64 // outcomes of ours that were refused because another owner had come
	Recalled         uint64 // deliveries of a term of ours that were recorded in a later one
	Waiting          int    // submissions waiting for a proposer
	WaitingBytes     int64
	WaitingOutcomes  int
}

// Stats returns the present figures. Those of the group are the same on all members, as far as each
// has applied; zero when they cannot be read.
func (q *Queue) Stats() (s Stats) {
	var m machine.Meta
	if r, err := q.read(); err == nil {
		m, _ = q.metaOf(r) // a disk that cannot be read is told of elsewhere
	}
	c := m.Counters
	q.mu.Lock()
	moved := q.mu.moved
	q.mu.Unlock()
	s.Messages, s.Bytes, s.Reports = c[machine.CountMessages], c[machine.CountBytes],
		c[machine.CountReports]
	s.Accepted, s.DoubleBounces = c[machine.CountAccepted], c[machine.CountBounced]
	copy(s.Recipients[:], c[machine.CountState:])
	s.Moves = make(map[Reason]uint64)
	for r, n := range moved {
		s.Moves[Reason(r)] = n
	}
	s.Repeated, s.AcceptedAfter451 = q.repeated.Load(), q.late.Load()
	s.Refused, s.Fenced, s.Recalled = q.refused.Load(), q.fenced.Load(), q.recalled.Load()
	if r := q.run.Load(); r != nil {
		r.stats(&s)
	}
	return s
}

func (r *run) stats(s *Stats) {
	r.front.mu.Lock()
	s.Waiting, s.WaitingBytes = r.front.mu.small.Len()+r.front.mu.large.Len(), r.front.mu.bytes
	r.front.mu.Unlock()
	r.settler.mu.Lock()
	s.WaitingOutcomes = r.settler.mu.outcomes.Len() + r.settler.mu.waiting
	r.settler.mu.Unlock()
}
