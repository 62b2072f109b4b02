package mail

import (
	"os"
	"sync/atomic"
)

// Budget bounds the octets of mail and caches held in memory (architecture.md, promise 3). Whoever
// wants to hold mail reserves first. Safe for use by several goroutines.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of limit octets.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// TryReserve takes n octets, or reports false and takes nothing when the budget would be exceeded.
func (b *Budget) TryReserve(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

// Release gives back n octets.
func (b *Budget) Release(n int64) { b.used.Add(-n) }

// Used returns the octets now reserved.
func (b *Budget) Used() int64 { return b.used.Load() }

// Limit returns the budget's size in octets.
func (b *Budget) Limit() int64 { return b.limit }

// Spill is an unsynced, already unlinked temporary file with the part of a large mail's content
// that is not kept in memory. It is written by one goroutine and read by one after that, or by
// several if it is shared.
type Spill struct {
	F    *os.File
	Size int64
	lent bool // the file is a Shared's
}

// NewSpill makes an empty spill file in dir. It has no name any more when NewSpill returns, so that
// a crash leaves nothing.
func NewSpill(dir string) (*Spill, error) {
	f, err := os.CreateTemp(dir, "spill-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return &Spill{F: f}, nil
}

// Write appends p.
func (s *Spill) Write(p []byte) (int, error) {
	n, err := s.F.WriteAt(p, s.Size)
	s.Size += int64(n)
	return n, err
}

// Close frees the file, unless it is shared: then the Shared does.
func (s *Spill) Close() error {
	if s.lent {
		return nil
	}
	return s.F.Close()
}
