package router

import "github.com/postroad/postroad/mailbox"

// Stats are the figures of the mailboxes. Those of the shards are of the shards that this node
// owns, together: so the sum over all nodes counts everything once.
type Stats struct {
	Copies int // shards of which this node has a copy
	Owned  int // shards that it owns
	mailbox.Stats
	RemoteWaiting  int    // messages that wait for a request to another member
	ForgetsWaiting int    // dedup records that are to be forgotten in a while
	ForgetsLost    uint64 // dedup records that could not be forgotten in time
	ForgetsFound   uint64 // dedup records that were found and forgotten later
}

// Stats returns the figures.
func (r *Router) Stats() (s Stats) {
	for shard := range r.Shards() {
		c := r.copyOf(shard)
		if c == nil {
			continue
		}
		s.Copies++
		if !c.Owned() {
			continue
		}
		s.Owned++
		if one, err := c.Store().Stats(); err == nil { // a disk that fails is told of elsewhere
			s.Add(&one)
		}
	}
	r.mu.Lock()
	for _, to := range r.senders {
		s.RemoteWaiting += to.Waiting()
	}
	r.mu.Unlock()
	f := &r.forgets
	f.mu.Lock()
	defer f.mu.Unlock()
	s.ForgetsWaiting, s.ForgetsLost, s.ForgetsFound = f.waiting.Len(), f.lost, f.found
	return s
}
