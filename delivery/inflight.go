package delivery

import (
	"sync"
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// inFlightFor is how long the listings' picture of what is being attempted serves: a listing asks for every recipient it shows.
const inFlightFor = 100 * time.Millisecond

// inFlight is that picture.
type inFlight struct {
	sync.Mutex
	at  time.Time
	set map[attemptKey]struct{}
}

// InFlight reports whether a recipient is being attempted, or its outcome is being recorded, as of at most a moment ago. It
// serves listings; the scheduler itself never asks.
func (s *Scheduler) InFlight(id mail.ID, recipient uint32) bool {
	s.picture.Lock()
	defer s.picture.Unlock()
	if now := time.Now(); s.picture.set == nil || now.Sub(s.picture.at) > inFlightFor {
		s.picture.at, s.picture.set = now, s.attempted()
	}
	_, ok := s.picture.set[attemptKey{id, recipient}]
	return ok
}

// attempted is what the core holds of recipients that were handed out; the window bounds it.
func (s *Scheduler) attempted() map[attemptKey]struct{} {
	set := map[attemptKey]struct{}{}
	note := func(e *entry) {
		for _, n := range e.item.Recipients[:e.taken] {
			set[attemptKey{e.item.Message.ID, n}] = struct{}{}
		}
	}
	now := s.lock()
	defer s.unlock(now)
	s.mu.core.eachWaiting(note)
	for _, d := range s.mu.core.all {
		for e := d.busy.head; e != nil; e = e.next {
			note(e)
		}
	}
	return set
}
