package delivery

import (
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// inFlight is the set of recipients that were being attempted at some moment. Listings ask for each
// recipient there is; the set is made anew for them every so often, so that it costs the hot path
// nothing.
type inFlight struct {
	at  time.Time
	set map[attemptKey]struct{}
}

// inFlightLasts is how long a set is good enough for a listing.
const inFlightLasts = 100 * time.Millisecond

// InFlight reports whether a recipient is being attempted now, or its outcome is being recorded
// (queue.Options.InFlight). The answer is at most a tenth of a second old.
func (s *Scheduler) InFlight(id mail.ID, recipient uint32) bool {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.mu.inFlight
	if f.set == nil || now.Sub(f.at) > inFlightLasts {
		*f = inFlight{now, s.mu.core.inFlight()}
	}
	_, ok := f.set[attemptKey{id, recipient}]
	return ok
}

func (c *core) inFlight() map[attemptKey]struct{} {
	set := map[attemptKey]struct{}{}
	note := func(e *entry) {
		for _, n := range e.item.Recipients[:e.taken] {
			set[attemptKey{e.item.Message.ID, n}] = struct{}{}
		}
	}
	c.eachWaiting(note) // some of their recipients may be under way
	c.eachBusy(note)
	return set
}
