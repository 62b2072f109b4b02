package logstore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("log store is closed")

// Options of a Store. Only FS and Dir must be set.
type Options struct {
	FS  vfs.FS
	Dir string
	// SegmentSize is the size of a segment file in octets; default 64 MiB. One entry with its parts
	// takes at most a quarter of it.
	SegmentSize int64
	// RingSize bounds the memory in octets that keeps the newest blocks readable without the disk;
	// default 8 MiB.
	RingSize int
	// Spare is how many unused segment files are kept for recycling; default 4. What is more is
	// deleted.
	Spare int
	// Settle is how long nothing must have been written before the high-water mark follows; default
	// 5 ms. While writing goes on it follows by Mark.
	Settle time.Duration
	// Boot tells one run of the operating system from the next; "" where that cannot be told: then
	// each start counts as one after a loss of power (tail.go).
	Boot string
	// Logf takes what recovery has to say.
	Logf func(format string, args ...any)
	// OnFailure hears of the first write or sync error, once. After it nothing is written or
	// acknowledged; the process should end.
	OnFailure func(error)
	// OnFull hears, before that, that the disk has no room for a write, and reports whether it has
	// made some: then the write is tried once more. nil: there is none to make.
	OnFull func() bool
	// OnSync, when set, hears of every sync of a block: how long write and sync took, how many
	// octets were written. It must not block.
	OnSync func(took time.Duration, octets int)
}

func (o Options) withDefaults() Options {
	o.SegmentSize = int64(pageUp(int(cmp.Or(o.SegmentSize, 64<<20))))
	o.RingSize = cmp.Or(o.RingSize, 8<<20)
	o.Spare = cmp.Or(o.Spare, 4)
	o.Settle = cmp.Or(o.Settle, 5*time.Millisecond)
	o.Boot = o.Boot[:min(len(o.Boot), maxBoot)]
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.OnFailure == nil {
		o.OnFailure = func(error) {}
	}
	if o.OnFull == nil {
		o.OnFull = func() bool { return false }
	}
	if o.OnSync == nil {
		o.OnSync = func(time.Duration, int) {}
	}
	return o
}

// Store is the log store of a node. Safe for use by several goroutines.
type Store struct {
	opts  Options
	dir   vfs.File
	ring  ring
	mark  mark
	stats counters
	tail  *Tail  // what Open found
	w     writer // owned by the leader of the round under way (doc.go)

	mu struct {
		sync.Mutex
		roundEnded sync.Cond
		err        error // latched
		leading    bool  // a round is under way
		queue      []*op
		groups     map[uint64]*Group
		segments   map[uint64]*segment
		// that has a block on stable storage: its opening is where recovery starts, so it is never
		// free
		newest   *segment
		synced   uint64 // newest block on stable storage
		reuse    reuse
		settling settling
	}
}

// counters are what Stats reports besides the state of the segments.
type counters struct {
	syncs, octets, moved atomic.Uint64
	created, recycled    atomic.Uint64
	syncTime             atomic.Int64
}

// Stats says what the store has done since Open and what it holds now. Sizes are in octets.
type Stats struct {
	Syncs     uint64 // of blocks
	Written   uint64 // blocks with headers and padding
	Moved     uint64 // parts written again to empty a segment; part of Written
	SyncTime  time.Duration
	Created   uint64 // segments begun in new files
	Recycled  uint64 // segments begun in files that had been segments before
	Segments  int    // in use
	Free      int    // files that wait to be recycled
	Emptied   int    // hold nothing any more, but wait for a flush
	SizeInUse int64
	LiveParts int64 // parts that the state refers to
}

// Stats returns a snapshot.
func (s *Store) Stats() Stats {
	st := Stats{
		Syncs: s.stats.syncs.Load(), Written: s.stats.octets.Load(), Moved: s.stats.moved.Load(),
		SyncTime: time.Duration(s.stats.syncTime.Load()), Created: s.stats.created.Load(),
		Recycled: s.stats.recycled.Load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Segments, st.Free, st.Emptied = len(s.mu.segments), len(s.mu.reuse.free),
		len(s.mu.reuse.emptied)
	st.SizeInUse = int64(st.Segments) * s.opts.SegmentSize
	for _, seg := range s.mu.segments {
		st.LiveParts += seg.kept
	}
	return st
}

// Err returns the error that closed the store, if any.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.err
}

// fail latches the store closed. Only the first error counts.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	first := s.mu.err == nil
	if first {
		s.mu.err = fmt.Errorf("log store closed after: %w", err)
	}
	err = s.mu.err
	s.mu.roundEnded.Broadcast()
	s.mu.Unlock()
	if first {
		s.opts.OnFailure(err)
	}
	return err
}

// Group returns a group's log. A group comes into being by its first write.
func (s *Store) Group(id uint64) *Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groupLocked(id)
}

func (s *Store) groupLocked(id uint64) *Group {
	g := s.mu.groups[id]
	if g == nil {
		g = &Group{store: s, id: id, window: window{first: 1}, stable: map[string][]byte{}}
		g.loans.parts = map[uint64][][]byte{}
		s.mu.groups[id] = g
	}
	return g
}

// Groups returns the numbers of all groups, ascending.
func (s *Store) Groups() (ids []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.mu.groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Close writes the high-water mark and closes the files. Writers get ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	for s.mu.leading {
		s.mu.roundEnded.Wait()
	}
	failed := s.mu.err
	if failed == nil {
		s.mu.err = ErrClosed
		s.mu.roundEnded.Broadcast()
	}
	s.mu.Unlock()
	if errors.Is(failed, ErrClosed) {
		return nil
	}
	var err error
	if failed == nil {
		err = s.writeMark()
	}
	return errors.Join(err, s.closeFiles())
}

func (s *Store) closeFiles() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.mu.segments {
		err = errors.Join(err, seg.file.close())
	}
	for _, seg := range s.mu.reuse.free {
		err = errors.Join(err, seg.file.close())
	}
	if s.w.f != nil {
		err = errors.Join(err, s.w.f.Close())
	}
	if s.dir != nil {
		err = errors.Join(err, s.dir.Close())
	}
	return errors.Join(err, s.mark.close())
}
