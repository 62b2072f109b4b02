package logstore

import "fmt"

// reuse knows the segments on their way to being written again: emptied, then, after a flush of the state that began later
// has completed, free. Guarded by Store.mu.
type reuse struct {
	loaded  bool // all kept parts are counted; before that nothing is known to be empty
	flushes uint64
	emptied []*segment
	free    []*segment
}

// Keep adds delta octets (or takes them off) to the kept parts of a segment. The count is not stored: after Open the owner of the state
// says what it refers to, and then calls Loaded.
func (s *Store) Keep(segment uint64, delta int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	seg := s.mu.segments[segment]
	if seg == nil {
		return fmt.Errorf("segment %d, which holds content that the state refers to, is missing", segment)
	}
	seg.kept += delta
	if seg.kept < 0 {
		panic(fmt.Sprintf("logstore: segment %d keeps %d octets", segment, seg.kept))
	}
	s.noteEmptyLocked(seg)
	return nil
}

// Loaded ends the counting after Open. What is empty now is free at once: the state was read from stable storage.
func (s *Store) Loaded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.reuse.loaded = true
	for _, seg := range s.mu.segments {
		s.noteEmptyLocked(seg)
	}
	s.freeLocked(^uint64(0))
}

// noteEmptyLocked puts a segment that holds nothing any more in line for the next flush.
func (s *Store) noteEmptyLocked(seg *segment) {
	r := &s.mu.reuse
	if r.loaded && seg.empty() && seg != s.w.seg && seg.afterFlush == 0 {
		seg.afterFlush = r.flushes + 1
		r.emptied = append(r.emptied, seg)
	}
}

// BeginFlush and EndFlush go around a flush of the state that the parts belong to. Emptied segments become free only by a flush
// that began after they became empty: what a crash brings back is then at least as new.
func (s *Store) BeginFlush() (flush uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.reuse.flushes++
	return s.mu.reuse.flushes
}

// EndFlush says that the flush completed. Spare files beyond Options.Spare are deleted.
func (s *Store) EndFlush(flush uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freeLocked(flush)
	r := &s.mu.reuse
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

func (s *Store) freeLocked(flush uint64) {
	r := &s.mu.reuse
	rest := r.emptied[:0]
	for _, seg := range r.emptied {
		switch {
		case !seg.empty():
			seg.afterFlush = 0 // something was moved here after all
		case seg.afterFlush <= flush:
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
