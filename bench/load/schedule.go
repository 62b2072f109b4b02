package load

import (
	"math"
	"sync"
	"time"
)

// schedule hands out messages: in a closed loop one whenever somebody asks, in an open loop each
// when it is due. Who asks too early is put into a queue of the idle, and gets the next that comes
// due (assign). It has no clock: times are given, in nanoseconds since the start of the load. Its
// methods may be called on any goroutine.
type schedule struct {
	messages int64 // how many; 0: no end
	until    int64 // messages that are due then or later are none of ours; 0: no end

	mu struct {
		sync.Mutex
		rate  float64 // messages per nanosecond; 0: a closed loop
		base  int64   // message first is due then
		first int64
		next  int64 // number of the next message
		ended bool
		idle  []*turn // a ring
		head  int
		count int
	}
}

// turn is one taker's place in the schedule.
type turn struct {
	slot     *slot // whose it is; the schedule does not look at it
	idle     bool  // in the queue
	assigned bool  // a message was found while it was idle
	number   int64 // of it
	due      int64
}

// verdict is what a taker is told.
type verdict uint8

const (
	later verdict = iota
	taken
	over
)

func newSchedule(o *Options) *schedule {
	s := &schedule{messages: o.Messages, until: int64(o.For)}
	s.mu.rate = o.Rate / 1e9
	s.mu.idle = make([]*turn, o.Connections)
	return s
}

// take returns the next message for t, or says that none is due yet; then t is idle. A message that
// was assigned to t comes first.
func (s *schedule) take(t *turn, now int64) (number, due int64, v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.assigned {
		t.assigned = false
		return t.number, t.due, taken
	}
	if s.endedLocked(now) {
		return 0, 0, over
	}
	if due = s.dueLocked(s.mu.next, now); due > now {
		s.pushLocked(t)
		return 0, 0, later
	}
	s.mu.next++
	s.leaveLocked(t)
	return s.mu.next - 1, due, taken
}

// over reports whether there will be nothing for t any more.
func (s *schedule) over(t *turn, now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !t.assigned && s.endedLocked(now)
}

// leave takes t out of the queue, since it can take nothing for a while.
func (s *schedule) leave(t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveLocked(t)
}

func (s *schedule) leaveLocked(t *turn) {
	if !t.idle {
		return
	}
	t.idle = false
	kept := 0
	for i := range s.mu.count {
		if other := s.atLocked(i); *other != t {
			*s.atLocked(kept) = *other
			kept++
		}
	}
	s.mu.count = kept
}

// assign gives a message that is due to the turn that has been idle longest, which is then to be
// woken; nil when there is no such pair.
func (s *schedule) assign(now int64) *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.count == 0 || s.endedLocked(now) {
		return nil
	}
	due := s.dueLocked(s.mu.next, now)
	if due > now {
		return nil
	}
	t := s.popLocked()
	t.assigned, t.number, t.due = true, s.mu.next, due
	s.mu.next++
	return t
}

// assigned returns what was assigned to t and not taken.
func (s *schedule) assigned(t *turn) (number, due int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ok, t.assigned = t.assigned, false
	return t.number, t.due, ok
}

// idle takes a turn out of the queue; nil when it is empty.
func (s *schedule) idle() *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.count == 0 {
		return nil
	}
	return s.popLocked()
}

// wait returns how long there is nothing to assign, and whether there will never be.
func (s *schedule) wait(now int64) (d int64, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endedLocked(now) {
		return 0, true
	}
	d = math.MaxInt64
	if s.mu.rate > 0 {
		d = s.dueLocked(s.mu.next, now) - now
	}
	if s.until > 0 {
		d = min(d, s.until+grace-now)
	}
	return max(d, 0), false
}

// setRate changes the rate of an open loop for all messages that are not begun: the first of them
// is due as it was, or soon, the others at the new distance from it.
func (s *schedule) setRate(now int64, rate float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.rate <= 0 || rate <= 0 {
		return
	}
	due := s.dueLocked(s.mu.next, now)
	s.mu.rate = rate / 1e9
	s.mu.base, s.mu.first = min(due, now+int64(1/s.mu.rate)), s.mu.next
}

// stop ends the schedule.
func (s *schedule) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.ended = true
}

// counts returns how many messages were handed out, and how many are due by now: the same in a
// closed loop.
func (s *schedule) counts(now int64) (begun, due int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	begun = s.mu.next
	if s.mu.rate <= 0 {
		return begun, begun
	}
	if s.until > 0 {
		now = min(now, s.until-1)
	}
	due = s.mu.first + int64(float64(now-s.mu.base)*s.mu.rate) + 1
	if s.messages > 0 {
		due = min(due, s.messages)
	}
	return begun, max(due, begun)
}

// dueLocked returns when message n is due.
func (s *schedule) dueLocked(n, now int64) int64 {
	if s.mu.rate <= 0 {
		return now
	}
	return s.mu.base + int64(math.Round(float64(n-s.mu.first)/s.mu.rate))
}

func (s *schedule) endedLocked(now int64) bool {
	s.mu.ended = s.mu.ended || s.messages > 0 && s.mu.next >= s.messages || s.until > 0 &&
		s.lateLocked(now)
	return s.mu.ended
}

// grace is how much later than the end a message may begin that was due before it: it was, perhaps,
// only just due. A longer list of what is overdue is not worked off.
const grace = int64(100 * time.Millisecond)

func (s *schedule) lateLocked(now int64) bool {
	if s.mu.rate <= 0 {
		return now >= s.until
	}
	return now >= s.until+grace || s.dueLocked(s.mu.next, now) >= s.until
}

func (s *schedule) atLocked(i int) **turn { return &s.mu.idle[(s.mu.head+i)%len(s.mu.idle)] }

func (s *schedule) pushLocked(t *turn) {
	if !t.idle {
		t.idle = true
		*s.atLocked(s.mu.count) = t
		s.mu.count++
	}
}

func (s *schedule) popLocked() *turn {
	t := *s.atLocked(0)
	t.idle = false
	s.mu.head = (s.mu.head + 1) % len(s.mu.idle)
	s.mu.count--
	return t
}
