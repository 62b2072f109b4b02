package cluster

import (
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
)

// Transfers is how far a state is that another member takes over from this one.
type TransferProgress struct {
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
func (gs *transfers) now() map[uint16]TransferProgress {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if len(gs.all) == 0 {
		return nil
	}
	now := map[uint16]TransferProgress{}
	for member, s := range gs.all {
		sent := s.octets.Load()
		now[member] = TransferProgress{sent, max(sent, s.of)}
	}
	return now
}

// A state of so many octets is large. So many of them are given at a time: disk and network have
// other things to do.
const (
	largeState = 64 << 20
	largeTurns = 2
)

// weigh says about how many octets the state has.
func (g *Group) weigh() (int64, error) {
	s := side(g.side.Load())
	p := prefix(g.id, s.space(spaceState))
	rows, err := g.node.db.EstimateDiskUsage(p[:], prefixEnd(p))
	if err != nil {
		return 0, err
	}
	octets := int64(rows)
	err = g.each(g.node.db, s.space(spaceParts), func(k, v []byte) error {
		e, err := decodeKept(binary.BigEndian.Uint64(k), v)
		if err == nil {
			octets += e.kept()
		}
		return err
	})
	return octets, err
}
