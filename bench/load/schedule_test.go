package load

import (
	"testing"
	"time"
)

const second = int64(time.Second)

func TestScheduleClosed(t *testing.T) {
	s := newSchedule(&Options{Connections: 2, Messages: 2})
	var a turn
	for i := range int64(2) {
		if n, due, v := s.take(&a, 7+i); v != taken || n != i || due != 7+i {
			t.Errorf("message %d: %d due %d, %d", i, n, due, v)
		}
	}
	if _, _, v := s.take(&a, 9); v != over || !s.over(&a, 9) {
		t.Error("a third message")
	}
}

func TestScheduleOpen(t *testing.T) {
	s := newSchedule(&Options{Connections: 3, Rate: 10, Messages: 4})
	var a, b, c turn
	if n, due, v := s.take(&a, second/100); v != taken || n != 0 || due != 0 {
		t.Fatalf("the first: %d due %d, %d", n, due, v)
	}
	for _, x := range []*turn{&a, &b, &c} {
		if _, _, v := s.take(x, second/100); v != later {
			t.Fatalf("too early: %d", v)
		}
	}
	if d, over := s.wait(second / 100); over || d != second/10-second/100 {
		t.Errorf("wait %v %v", time.Duration(d), over)
	}
	s.leave(&a)
	if s.assign(second/10-1) != nil {
		t.Error("assigned too early")
	}
	if got := s.assign(second / 4); got != &b { // a has left, b waits longest
		t.Fatalf("assigned to %p", got)
	}
	if n, due, ok := b.number, b.due, b.assigned; !ok || n != 1 || due != second/10 {
		t.Errorf("assigned %d due %v", n, due)
	}
	// A connection that becomes free takes what is overdue, with the moment at which it was due.
	if n, due, v := s.take(&a, second/4); v != taken || n != 2 || due != second/5 {
		t.Errorf("overdue: %d due %v, %d", n, time.Duration(due), v)
	}
	if n, due, v := s.take(&b, second/4); v != taken || n != 1 || due != second/10 {
		t.Errorf("what was assigned: %d due %v, %d", n, time.Duration(due), v)
	}
	if begun, due := s.counts(second / 4); begun != 3 || due != 3 {
		t.Errorf("%d begun, %d due", begun, due)
	}
	if begun, due := s.counts(second); begun != 3 || due != 4 {
		t.Errorf("%d begun, %d due", begun, due)
	}
	if got := s.assign(second); got != &c || s.assign(second) != nil {
		t.Error("the last is not c's alone")
	}
	if _, over := s.wait(second); !over {
		t.Error("not over")
	}
	if s.over(&c, second) || !s.over(&a, second) {
		t.Error("what was assigned is still to come, and nothing else")
	}
}

func TestScheduleUntil(t *testing.T) {
	s := newSchedule(&Options{Connections: 1, Rate: 10, For: time.Second})
	var a turn
	for range 3 {
		s.take(&a, second/2)
	}
	if n, due, v := s.take(&a, second+1); v != taken || n != 3 || due != 3*second/10 {
		t.Errorf("just after the end: %d due %v, %d", n, time.Duration(due), v)
	}
	if _, _, v := s.take(&a, second+grace); v != over {
		t.Error("a message begins after the end")
	}
	if begun, due := s.counts(2 * second); begun != 4 || due != 10 {
		t.Errorf("%d begun, %d due", begun, due)
	}
	s = newSchedule(&Options{Connections: 1, Rate: 10, For: time.Second})
	for range 10 {
		if _, _, v := s.take(&a, second-1); v != taken {
			t.Fatal(v)
		}
	}
	if _, _, v := s.take(&a, second-1); v != over {
		t.Error("what is due after the end is still to come")
	}
	s = newSchedule(&Options{Connections: 1, For: time.Second})
	if _, _, v := s.take(&a, second); v != over {
		t.Error("a closed loop does not end")
	}
}

func TestScheduleSetRate(t *testing.T) {
	s := newSchedule(&Options{Connections: 1, Rate: 1})
	var a turn
	s.take(&a, 0)
	s.setRate(second/2, 100)
	if d, _ := s.wait(second / 2); d != second/100 {
		t.Errorf("the next is due in %v", time.Duration(d))
	}
	last := int64(0)
	for i := range int64(10) {
		n, due, v := s.take(&a, second)
		if v != taken || n != i+1 || i > 0 && due-last != second/100 {
			t.Fatalf("message %d: %d due %v after %v, %d", i, n, time.Duration(due),
				time.Duration(last), v)
		}
		last = due
	}
}

// TestOpenLoopInVirtualTime has one connection send at a rate of 100/s to a server that takes 1 ms
// for each message, and stands still for one second. What was due in that second waits, and the
// latencies say so: some 1,000 messages in ten seconds, a tenth of which have waited, evenly up to
// a second. A closed loop has one slow message of a thousand and says that all is well.
func TestOpenLoopInVirtualTime(t *testing.T) {
	open := simulate(t, 100)
	if p50 := open.P50; p50 < 900 || p50 > 2000 {
		t.Errorf("open loop: the median is %d us", p50)
	}
	if p99 := open.P99; p99 < 880_000 || p99 > 1_000_000 {
		t.Errorf("open loop: p99 is %d us, 900 ms it should be", p99)
	}
	closed := simulate(t, 0)
	if closed.P99 > 2000 || closed.Max < 990_000 {
		t.Errorf("closed loop: p99 %d us, max %d us", closed.P99, closed.Max)
	}
}

func simulate(t *testing.T, rate float64) Latency {
	o := Options{Addr: "h:25", Connections: 1, Rate: rate, Messages: 1000,
		Pipelining: PipelineMessage}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	l := &Load{o: o, schedule: newSchedule(&o), meters: []*meter{newMeter()}, started: time.Now()}
	l.protocol = protocol{o: &l.o, maker: fuzzMaker(&l.o)}
	v := &virtual{slot: newSlot(l, l.meters[0])}
	s := session{p: &l.protocol, own: v}
	var out output
	s.step(0, []byte("220 sink\r\n"), &out)
	v.now = 0
	s.step(0, []byte("250-sink\r\n250 PIPELINING\r\n"), &out)
	stalled := false
	for s.state == stateReady {
		if len(s.flight) == 0 { // idle: the pacer's part
			d, _ := l.schedule.wait(v.now)
			v.now += d
			if l.schedule.assign(v.now) != nil || rate == 0 {
				s.wake(v.now, &out)
			}
			continue
		}
		s.step(v.now, []byte("250 ok\r\n250 ok\r\n354 go\r\n"), &out)
		if v.now += int64(time.Millisecond); v.now >= 5*second && !stalled || rate == 0 &&
			v.now >= second/2 && !stalled {
			stalled = true
			v.now += second
		}
		s.step(v.now, []byte("250 ok\r\n"), &out)
	}
	if n := l.meters[0].mu.counts.Accepted; n != 1000 {
		t.Fatalf("%d messages", n)
	}
	return LatencyOf(l.meters[0].mu.phases[phaseWhole])
}

// virtual is a slot with a clock of its own.
type virtual struct {
	*slot
	now int64
}

func (v *virtual) over() bool                  { return v.l.schedule.over(&v.turn, v.now) }
func (v *virtual) ready(int64, offers)         {}
func (v *virtual) refused(string, reply)       {}
func (v *virtual) ended(now int64, m *message) { v.slot.ended(now, m, 1) }
