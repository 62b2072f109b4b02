package delivery

import (
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// caught are recipients that were being attempted when an operator's command reached them: what
// that command says of them is not true yet, for the attempt goes on. The queue tells of the change
// before it answers the command, and from then on no attempt begins that the change forbids.
type caught map[attemptKey]time.Time

// caughtLasts is how long a command that was answered has to ask.
const caughtLasts = time.Second

// note notes which recipients of changed messages are being attempted.
func (c caught) note(ids []mail.ID, attempted map[attemptKey]struct{}, now time.Time) {
	for k, at := range c {
		if now.Sub(at) > caughtLasts {
			delete(c, k)
		}
	}
	if len(attempted) == 0 {
		return
	}
	changed := make(map[mail.ID]struct{}, len(ids))
	for _, id := range ids {
		changed[id] = struct{}{}
	}
	for k := range attempted {
		if _, ok := changed[k.id]; ok {
			c[k] = now
		}
	}
}

// Caught reports whether a recipient was being attempted, or its outcome was being recorded, when
// an operator's command reached it a moment ago (queue.Options.Caught).
func (s *Scheduler) Caught(id mail.ID, recipient uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.mu.caught[attemptKey{id, recipient}]
	return ok
}
