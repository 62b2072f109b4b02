package queue

import (
	"errors"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

// Recipients of one message that fail one after the other are to be one report (RFC 3464 2.3), and
// what fails in one command is one due report. So failures of a message that has other recipients
// wait for theirs, in memory, before they are recorded. Until then they are attempts whose outcome
// nobody else knows: after a crash, or with another owner, they are attempted again, and what they
// come to then is reported. No report is lost by that, and none is made twice.

const (
	// togetherQuiet is how long failures wait after the latest one of their message.
	togetherQuiet = 10 * time.Second
	// togetherLongest is how long they wait after the first one.
	togetherLongest = time.Minute
	// togetherMost bounds the outcomes that wait so, for the scheduler holds on to their
	// recipients; what comes beyond it is recorded at once.
	togetherMost = 500
)

// together are failures of one message that wait for more.
type together struct {
	outcomes []Outcome
	calls    []settleCall
	last     time.Time // when they are recorded at the latest
	timer    *time.Timer
}

// SettleMessage is Settle for outcomes of one message. Failures that are to be reported may wait
// for those of its other recipients: ten seconds after the latest one, a minute in all, less when
// the term ends or an operator's verb comes. Nothing else waits, and nothing does beside a
// recipient that is put off, for its scheduler wants to know when.
func (q *Queue) SettleMessage(m *Message, outcomes []Outcome, done func(error)) (room bool) {
	r, n := q.run.Load(), 0
	if len(m.Envelope.Recipients) > len(outcomes) { // there are others
		n = failures(m.Envelope, outcomes)
	}
	switch {
	case r == nil || n == 0:
		return q.Settle(outcomes, done)
	case n == len(outcomes):
		return r.settler.addTogether(outcomes, done)
	}
	now, later := make([]Outcome, 0, len(outcomes)-n), make([]Outcome, 0, n)
	for i := range outcomes {
		if o := &outcomes[i]; reported(m.Envelope, o) {
			later = append(later, *o)
		} else {
			now = append(now, *o)
		}
	}
	both := &half{done: done}
	room = r.settler.add(now, both.recorded)
	return r.settler.addTogether(later, both.recorded) && room
}

// failures counts those outcomes that may wait; 0 when one of the others would have to wait, too.
func failures(e *mail.Envelope, outcomes []Outcome) (n int) {
	if e.Sender == "" {
		return 0
	}
	for i := range outcomes {
		if reported(e, &outcomes[i]) {
			n++
		} else if !outcomes[i].State.Final() {
			return 0
		}
	}
	return n
}

func reported(e *mail.Envelope, o *Outcome) bool {
	return (o.State == Failed || o.State == Expired) &&
		machine.Wants(e.Recipients[o.Recipient].Notify, ReportFailure)
}

// half tells the one who waits when both halves of its outcomes are recorded.
type half struct {
	done func(error)
	mu   struct {
		sync.Mutex
		other bool // was told
		err   error
	}
}

func (h *half) recorded(err error) {
	h.mu.Lock()
	h.mu.err = errors.Join(h.mu.err, err)
	last, all := h.mu.other, h.mu.err
	h.mu.other = true
	h.mu.Unlock()
	if last && h.done != nil {
		h.done(all)
	}
}

// addTogether is add for failures of one message that may wait for others.
func (s *settler) addTogether(outcomes []Outcome, done func(error)) bool {
	checkOutcomes(outcomes)
	s.mu.Lock()
	if s.mu.stopped || s.mu.waiting+len(outcomes) > togetherMost {
		s.mu.Unlock()
		return s.add(outcomes, done)
	}
	defer s.mu.Unlock()
	id := outcomes[0].ID
	p := s.mu.together[id]
	if p == nil {
		p = &together{last: time.Now().Add(togetherLongest)}
		p.timer = time.AfterFunc(togetherQuiet, func() { s.enough(id, p) })
		s.mu.together[id] = p
	} else {
		p.timer.Reset(min(togetherQuiet, time.Until(p.last)))
	}
	p.outcomes = append(p.outcomes, outcomes...)
	p.calls = append(p.calls, settleCall{len(outcomes), done})
	s.mu.waiting += len(outcomes)
	return s.mu.outcomes.Len() < s.most
}

// enough is the timer of failures that wait.
func (s *settler) enough(id mail.ID, p *together) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.together[id] == p { // else somebody was faster
		s.gather(id, p)
	}
}

// gather has failures recorded that have waited. Called with the lock held.
func (s *settler) gather(id mail.ID, p *together) {
	p.timer.Stop()
	delete(s.mu.together, id)
	s.mu.waiting -= len(p.outcomes)
	for i := range p.outcomes {
		s.mu.outcomes.Push(p.outcomes[i])
	}
	for i := range p.calls {
		s.mu.calls.Push(p.calls[i])
	}
	s.work.Signal()
	if s.mu.outcomes.Len() >= settleMost {
		s.hurry()
	}
}

// gatherAll has all failures recorded that wait. Called with the lock held.
func (s *settler) gatherAll() {
	for id, p := range s.mu.together {
		s.gather(id, p)
	}
}
