package delivery

import (
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// verb has an operator do something to some recipients. The command takes its time; it says when it
// was made.
func (s *sim) verb() {
	kind, at := s.rand.IntN(8), s.now
	var chosen []*queue.Message
	for range 1 + s.rand.IntN(3) {
		if n := len(s.all); n > 0 {
			chosen = append(chosen, s.all[n-1-s.rand.IntN(min(n, 30))])
		}
	}
	s.pending = append(s.pending, func() { s.operate(kind, at, chosen) })
}

// operate applies a verb as the queue does: most are holds and releases, for those meet attempts
// under way; then flushes, and seldom a removal.
func (s *sim) operate(kind int, at time.Time, chosen []*queue.Message) {
	s.tellAll()
	if s.lastVerb.Before(at) {
		s.lastVerb = at
	}
	for _, m := range chosen {
		moved := false
		for i, r := range m.Envelope.Recipients {
			k := attemptKey{m.ID, uint32(i)}
			was, scheduled := s.rows[k]
			due := false
			switch {
			case s.state[k] == simDone || s.rand.IntN(4) == 0:
				continue
			case kind < 3 && scheduled: // hold
				s.held[k] = true
			case kind < 5 && s.held[k]: // release
				s.held[k], due = false, true
			case kind < 7 && kind > 4 && scheduled && was.due > s.lastVerb.UnixMilli(): // flush
				due = true
			case kind == 7: // remove
				s.held[k], s.removed[k] = false, true
				s.done(k)
			default:
				continue
			}
			s.erase(r.Domain, k)
			if moved = true; due {
				s.write(queue.Item{Message: m, Domain: r.Domain, Due: s.lastVerb,
					Recipients: []uint32{k.number}})
			}
		}
		if moved {
			s.untoldIDs = append(s.untoldIDs, m.ID)
		}
	}
}

// releaseAll releases what is held.
func (s *sim) releaseAll() {
	if len(s.held) > 0 {
		s.pending = append(s.pending, func() { s.operate(3, s.now, s.all) })
	}
}

// someIDs are messages that an operator is made to touch.
func (s *sim) someIDs() (ids []mail.ID) {
	for range 3 {
		if len(s.all) > 0 {
			ids = append(ids, s.all[s.rand.IntN(len(s.all))].ID)
		}
	}
	return ids
}

// suspend replaces what is suspended by n things, some of them for a while only. Sometimes an older
// list comes late.
func (s *sim) suspend(n int) {
	late := s.suspension
	s.suspension = queue.Suspensions{Version: late.Version + 1}
	for range n {
		one := queue.Suspension{Kind: queue.SuspensionKind(1 + s.rand.IntN(4)), Reason: "why"}
		switch one.Kind {
		case queue.SuspendDomain:
			one.Name = fmt.Sprint("d", s.rand.IntN(30))
		case queue.SuspendSite:
			one.Name = []string{fmt.Sprint("site", s.rand.IntN(s.sites)), "hub.test:25",
				LocalSite}[s.rand.IntN(3)]
		case queue.SuspendTenant:
			one.Name = fmt.Sprint("t", s.rand.IntN(3))
		case queue.SuspendCampaign:
			one.Name = fmt.Sprint("c", s.rand.IntN(3))
		}
		if s.rand.IntN(2) == 0 {
			one.Until = s.now.Add(time.Duration(s.rand.IntN(20_000)) * time.Millisecond)
		}
		s.suspension.All = append(s.suspension.All, one)
	}
	s.core.suspend(s.suspension, s.now)
	s.event()
	if s.rand.IntN(4) == 0 {
		s.core.suspend(late, s.now)
		s.event()
	}
}
