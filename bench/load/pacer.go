package load

import (
	"time"

	"golang.org/x/sys/unix"
)

// resolution is the shortest sleep of the pacer: shorter ones cost more processor time than they
// gain in punctuality. A message whose connection was idle is so much late at the most, and its
// latency includes that.
const resolution = 100 * time.Microsecond

// coarse is how punctual Go's timers are: the runtime waits for them in whole milliseconds.
const coarse = time.Millisecond

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
		l.sleep(t, max(time.Duration(d), resolution))
		for s := l.schedule.assign(l.now()); s != nil; s = l.schedule.assign(l.now()) {
			s.slot.wake()
		}
	}
}

// sleep waits for d, or less: until the schedule has changed, or until so little is left that the
// kernel has to wait for it.
func (l *Load) sleep(t *time.Timer, d time.Duration) {
	if d <= 2*coarse {
		ts := unix.NsecToTimespec(int64(d))
		_ = unix.Nanosleep(&ts, nil) // a signal makes it shorter
		return
	}
	t.Reset(d - coarse)
	select {
	case <-t.C:
	case <-l.kick:
	}
}

// wakeIdle has those that wait see that nothing will come. Who asks later sees it by itself.
func (l *Load) wakeIdle() {
	for s := l.schedule.idle(); s != nil; s = l.schedule.idle() {
		s.slot.wake()
	}
}
