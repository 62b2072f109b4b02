package logstore

import (
	"slices"
	"sync"
)

// ring is the memory that blocks are built in; until it is needed again a block can be read from
// it. Followers are fed the newest entries, and content that was just accepted is read soon or
// never.
type ring struct {
	mu     sync.RWMutex
	mem    []byte
	next   int         // where the next block begins
	blocks []ringBlock // oldest first, which is also the order of (segment, off)
}

type ringBlock struct {
	segment    uint64
	off        int64 // in the file
	start, end int   // in mem
}

// reserve returns n octets to build a block in. Blocks that lay there are forgotten.
func (r *ring) reserve(n int) (buf []byte, start int) {
	if n > len(r.mem)/2 {
		return alignedBuffer(n), -1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	start = r.next
	if start+n > len(r.mem) {
		start = 0
	}
	r.next = start + n
	drop := 0
	for drop < len(r.blocks) && r.blocks[drop].overlaps(start, r.next) {
		drop++
	}
	// When the end of mem was skipped, the blocks there are the oldest and do not overlap; those at
	// the start do.
	for i := drop; i < len(r.blocks); i++ {
		if r.blocks[i].overlaps(start, r.next) {
			drop = i + 1
		}
	}
	r.blocks = slices.Delete(r.blocks, 0, drop)
	return r.mem[start:r.next:r.next], start
}

func (b ringBlock) overlaps(start, end int) bool { return b.start < end && start < b.end }

// publish makes a block that was written readable.
func (r *ring) publish(segment uint64, off int64, start, n int) {
	if start < 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blocks = append(r.blocks, ringBlock{segment, off, start, start + n})
}

// read fills p from a block that is still there.
func (r *ring) read(p []byte, segment uint64, off int64) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i, found := slices.BinarySearchFunc(r.blocks, off, func(b ringBlock, off int64) int {
		switch {
		case b.segment < segment || b.segment == segment && b.off < off:
			return -1
		case b.segment == segment && b.off == off:
			return 0
		}
		return 1
	})
	if !found {
		i--
	}
	if i < 0 || r.blocks[i].segment != segment {
		return false
	}
	from := r.blocks[i].start + int(off-r.blocks[i].off)
	if from+len(p) > r.blocks[i].end {
		return false
	}
	copy(p, r.mem[from:])
	return true
}
