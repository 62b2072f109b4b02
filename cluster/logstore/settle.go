package logstore

import "time"

// settling brings the high-water mark up to date when writing pauses, so that what it cannot vouch
// for is the last block at most, and that for some milliseconds only. While blocks follow each
// other it costs a look now and then: they vouch for each other. Guarded by Store.mu.
type settling struct {
	timer *time.Timer // nil: never needed yet
	armed bool
	owed  bool          // a mark is due though writing goes on: a segment was begun
	seen  uint64        // newest block when it last looked
	wait  time.Duration // until it looks again
	last  time.Time     // when it last wrote the mark
}

const (
	settleLimit = 20 * time.Millisecond // the longest time between two looks while writing goes on
	// the least time between two marks: a client that pauses after each message pays for no more
	settleSpaced = 25 * time.Millisecond
)

// settleSoonLocked sees to it that somebody looks.
func (s *Store) settleSoonLocked() {
	t := &s.mu.settling
	if t.armed {
		return
	}
	t.armed, t.seen, t.wait = true, s.mu.synced, s.opts.Settle
	wait := max(t.wait, settleSpaced-time.Since(t.last))
	if t.timer == nil {
		t.timer = time.AfterFunc(wait, s.settle)
	} else {
		t.timer.Reset(wait)
	}
}

// settle is the look: it writes the mark if nothing was written since the last one.
func (s *Store) settle() {
	s.mu.Lock()
	t := &s.mu.settling
	if s.mu.err != nil {
		s.mu.Unlock()
		return
	}
	if (s.mu.synced != t.seen || s.mu.leading) && !t.owed {
		t.seen, t.wait = s.mu.synced, min(2*t.wait, settleLimit)
		t.timer.Reset(t.wait)
		s.mu.Unlock()
		return
	}
	t.armed, t.owed, t.last = false, false, time.Now()
	s.mu.Unlock()
	_ = s.Mark() // an error has latched the store closed and been reported
}
