package logstore

import "fmt"

// reuse knows the segments on their way to being written again: emptied, then, when the state that
// a crash could bring back does not refer to them either, free. Guarded by Store.mu.
type reuse struct {
	loaded    bool // all kept parts are counted; before that nothing is known to be empty
	begun     uint64
	completed uint64 // flushes
	emptied   []*segment
	free      []*segment
}

// Keep adds delta octets (or takes them off) to the kept parts of a segment. The count is not
// stored: after Open the owner of the state says what it refers to, and then calls Loaded.
func (s *Store) Keep(segment uint64, delta int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	seg := s.mu.segments[segment]
	if seg == nil {
		return fmt.Errorf(
			"%w: segment %d, which holds content that the state refers to, is missing", ErrLost,
			segment)
	}
	seg.kept += delta
	switch {
	case seg.kept < 0:
		panic(fmt.Sprintf("logstore: segment %d keeps %d octets", segment, seg.kept))
	case seg.kept == 0:
		seg.afterFlush = s.mu.reuse.begun + 1
		s.noteEmptyLocked(seg)
	}
	return nil
}

// Loaded ends the counting after Open. What is empty now is free at once: the state was read from
// stable storage.
func (s *Store) Loaded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.reuse.loaded = true
	for _, seg := range s.mu.segments {
		seg.afterFlush = 0
		s.noteEmptyLocked(seg)
	}
}

// noteEmptyLocked is called when a segment has lost its last entry or its last kept part, or is no
// longer the newest.
func (s *Store) noteEmptyLocked(seg *segment) {
	r := &s.mu.reuse
	if r.loaded && seg.empty() && seg != s.mu.newest && !seg.waiting {
		seg.waiting = true
		r.emptied = append(r.emptied, seg)
		s.freeLocked()
	}
}

// BeginFlush and EndFlush go around a flush of the state that the parts belong to. A segment is
// free only when a flush has completed that began after its last part was dropped: what a crash
// brings back is then at least as new. (Its entries need no flush: they were compacted after one.)
func (s *Store) BeginFlush() (flush uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.reuse.begun++
	return s.mu.reuse.begun
}

// EndFlush says that the flush completed. Free files beyond Options.Spare are deleted.
func (s *Store) EndFlush(flush uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.mu.reuse
	r.completed = max(r.completed, flush)
	s.freeLocked()
	for len(r.free) > s.opts.Spare {
		seg := r.free[len(r.free)-1]
		if err := seg.file.close(); err != nil {
			return err
		}
		if err := s.opts.FS.Remove(s.path(seg.id)); err != nil {
			return fmt.Errorf("delete spare segment: %w", err)
		}
		r.free = r.free[:len(r.free)-1]
	}
	return nil
}

func (s *Store) freeLocked() {
	r := &s.mu.reuse
	rest := r.emptied[:0]
	for _, seg := range r.emptied {
		switch {
		case !seg.empty():
			seg.waiting = false
		case seg.afterFlush <= r.completed:
			delete(s.mu.segments, seg.id)
			r.free = append(r.free, seg)
		default:
			rest = append(rest, seg)
		}
	}
	clear(r.emptied[len(rest):])
	r.emptied = rest
}

func (s *Store) takeFreeLocked() *segment {
	r := &s.mu.reuse
	if len(r.free) == 0 {
		return nil
	}
	seg := r.free[0]
	r.free = r.free[1:]
	return seg
}
