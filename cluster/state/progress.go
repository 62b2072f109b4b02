package state

import (
	"io"
	"sync"
	"sync/atomic"
)

// Progress is how far a state is that another member takes over from this one.
type Progress struct {
	Octets int64 // sent
	Of     int64 // about: rows are counted as they lie on the disk, where they are compressed
}

// transfers are the takings-over under way, by who takes. Safe for use by several goroutines.
type transfers struct {
	mu  sync.Mutex
	all map[uint16]*transfer
}

type transfer struct {
	w      io.Writer
	octets atomic.Int64
	of     int64
}

// Write counts what was sent.
func (s *transfer) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.octets.Add(int64(n))
	return n, err
}

// begin notes that a member takes the state over, and returns where it is to be written and what is
// to be called at its end. One that asks again has given up what it asked for before.
func (gs *transfers) begin(member uint16, w io.Writer, of int64) (io.Writer, func()) {
	s := &transfer{w: w, of: of}
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if gs.all == nil {
		gs.all = map[uint16]*transfer{}
	}
	gs.all[member] = s
	return s, func() {
		gs.mu.Lock()
		defer gs.mu.Unlock()
		if gs.all[member] == s {
			delete(gs.all, member)
		}
	}
}

// now returns how far they are; nil: none is under way.
func (gs *transfers) now() map[uint16]Progress {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if len(gs.all) == 0 {
		return nil
	}
	now := map[uint16]Progress{}
	for member, s := range gs.all {
		sent := s.octets.Load()
		now[member] = Progress{sent, max(sent, s.of)}
	}
	return now
}

// Transfers returns how far the takings-over of this state are, by who takes; nil: none is under
// way.
func (r *Rows) Transfers() map[uint16]Progress { return r.transfers.now() }
