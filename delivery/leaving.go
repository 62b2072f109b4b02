package delivery

import (
	"maps"
	"slices"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// Messages that go to another queue group are left alone from before they are copied until it is
// known whose they are: what is attempted here and is another group's by then would be delivered
// twice. What of them waits in memory is left to the disk, and loads pass over them.

// Leave keeps messages from being attempted until Stay, and returns those for which it can: at the
// others an attempt is under way, or its outcome is being recorded.
func (s *Scheduler) Leave(batch []*queue.Stored) (idle []*queue.Stored) {
	ids := make(map[mail.ID]struct{}, len(batch))
	for _, m := range batch {
		ids[m.Message.ID] = struct{}{}
	}
	now := s.lock()
	defer s.unlock(now)
	c := s.mu.core
	trying := map[mail.ID]bool{}
	for k := range c.busy(ids, true) {
		trying[k.id] = true
	}
	for id := range c.expiring.ids { // it may be recorded as expired just now
		trying[id] = true
	}
	var tried []*queue.Stored
	for _, m := range batch {
		if trying[m.Message.ID] {
			tried = append(tried, m)
			continue
		}
		c.leaving[m.Message.ID] = struct{}{}
		idle = append(idle, m)
	}
	c.stay(tried, now) // what of them waited in memory is on the disk
	return idle
}

// Stay ends what Leave began. What has not gone is attempted again when it is due.
func (s *Scheduler) Stay(batch []*queue.Stored) {
	now := s.lock()
	defer s.unlock(now)
	s.mu.core.stay(batch, now)
}

func (c *core) stay(batch []*queue.Stored, now time.Time) {
	var ids []mail.ID
	domains := map[string]struct{}{}
	for _, m := range batch {
		delete(c.leaving, m.Message.ID)
		ids = append(ids, m.Message.ID)
		for i := range m.Message.Envelope.Recipients {
			domains[m.Message.Envelope.Recipients[i].Domain] = struct{}{}
		}
	}
	if len(ids) > 0 {
		c.changed(ids, slices.Sorted(maps.Keys(domains)), now)
	}
}
