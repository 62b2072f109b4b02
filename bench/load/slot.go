package load

import (
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/bench/record"
)

// slot is one of the connections that a load has at a time: a link, and after it another. It
// belongs to the loop of its link, and between two links to whoever makes the next; turn is the
// schedule's.
type slot struct {
	l    *Load
	mt   *meter
	turn turn
	link atomic.Pointer[link] // for those on other goroutines who wake it

	fails int        // links in a row that came to nothing
	again []*message // to be tried again
	spare []*message
	sum   record.Hash
	buf   []byte
}

func newSlot(l *Load, mt *meter) *slot {
	s := &slot{l: l, mt: mt}
	s.turn.slot = s
	return s
}

// wake has the slot's session look for messages. It may be called on any goroutine.
func (s *slot) wake() {
	if k := s.link.Load(); k != nil {
		k.c.Post(k.waker)
	}
}

func (s *slot) over() bool { return len(s.again) == 0 && s.l.schedule.over(&s.turn, s.l.now()) }

func (s *slot) take(now int64) *message {
	for i, m := range s.again {
		if m.notUntil <= now {
			s.again = append(s.again[:i], s.again[i+1:]...)
			s.mt.update(func(c *Counts) { c.Retries++ })
			return m
		}
	}
	if len(s.again) >= maxAgain {
		return nil
	}
	number, due, v := s.l.schedule.take(&s.turn, now)
	if v != taken {
		return nil
	}
	return s.message(number, due)
}

// maxAgain bounds the messages of a connection that wait for another attempt; with so many it
// begins no others.
const maxAgain = 16

func (s *slot) message(number, due int64) *message {
	var m *message
	if n := len(s.spare); n > 0 {
		m, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		m = &message{rcpts: make([]recipient, s.l.o.Envelope.Recipients)}
	}
	m.number, m.due, m.attempts, m.queueID = number, due, 0, m.queueID[:0]
	clear(m.rcpts)
	m.content = s.l.protocol.maker.content(number)
	return m
}

// ended has a message tried again, or counts what became of it.
func (s *slot) ended(now int64, m *message, connection int) {
	m.connection = connection
	if m.attempts <= s.l.o.Retries && m.again() && !s.l.stopped.Load() {
		m.notUntil = now + int64(s.l.o.RetryAfter)
		s.again = append(s.again, m)
		time.AfterFunc(s.l.o.RetryAfter, s.wake)
		return
	}
	s.done(now, m)
}

func (s *slot) done(now int64, m *message) {
	outcome := m.outcome()
	s.mt.done(now, m, outcome)
	if s.l.o.OnSent != nil {
		s.tell(now, m, outcome)
	}
	s.spare = append(s.spare, m)
}

// tell makes a Sent of m.
func (s *slot) tell(now int64, m *message, outcome Outcome) {
	mk := s.l.protocol.maker
	sent := Sent{
		Number: m.number, ID: m.content.id, Sender: s.l.o.Envelope.Sender, Size: m.content.size(),
		Outcome: outcome, QueueID: string(m.queueID),
		Attempts: m.attempts, Connection: m.connection, Due: s.l.time(m.due),
		Begun: s.l.time(m.begun), Ended: s.l.time(now),
		Recipients: make([]Recipient, len(m.rcpts)),
	}
	if sent.ID == "" {
		sent.ID = string(mk.appendID(nil, m.number))
	}
	for i, r := range m.rcpts {
		s.buf = mk.appendRecipient(s.buf[:0], m.number, i)
		sent.Recipients[i] = Recipient{string(s.buf), r.outcome, int(r.code)}
	}
	if s.l.o.Hash {
		sent.Sum = s.hash(m)
	}
	s.l.o.OnSent(&sent)
}

func (s *slot) hash(m *message) record.Sum {
	s.sum.Reset()
	for at, size := 0, m.content.size(); at < size; {
		n := min(size-at, piece)
		s.buf = m.content.append(s.buf[:0], m.number, at, n, false)
		s.sum.Write(s.buf)
		at += n
	}
	return s.sum.Sum()
}
