package load

import "time"

// resolution is the shortest sleep of the pacer: shorter ones cost more processor time than they gain in punctuality. A message whose connection was
// idle is so much late at the most, and its latency includes that.
const resolution = 100 * time.Microsecond

// pace wakes idle connections when messages are due, and all of them at the end.
func (l *Load) pace() {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		d, over := l.schedule.wait(l.now())
		if over {
			l.wakeIdle()
			return
		}
		t.Reset(max(time.Duration(d), resolution))
		select {
		case <-t.C:
		case <-l.kick:
		}
		for s := l.schedule.assign(l.now()); s != nil; s = l.schedule.assign(l.now()) {
			s.slot.wake()
		}
	}
}

// wakeIdle has those that wait see that nothing will come. Who asks later sees it by itself.
func (l *Load) wakeIdle() {
	for s := l.schedule.idle(); s != nil; s = l.schedule.idle() {
		s.slot.wake()
	}
}
