package beat

import (
	"testing"
	"time"
)

// TestBeatsInStep: a frame of the first member that sends any has those of this node go out, unless
// they just did; one of another member has not, and without any its own time comes.
func TestBeatsInStep(t *testing.T) {
	began := time.Now()
	now := func() int64 { return int64(time.Since(began)) }
	n := New(Options{Member: 3, Timeout: 24 * time.Hour, Now: now}, nil)
	l := &Link{of: n, to: 1, step: make(chan struct{}, 1)}
	n.to[1] = l
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	long := n.every() - n.every()/100
	rest := func(sent int64) chan bool {
		c := make(chan bool, 1)
		go func() { c <- l.rest(timer, sent) }()
		return c
	}
	n.speakers.open[1], n.speakers.open[2] = 1, 1
	n.keepStep(2)
	if len(l.step) > 0 {
		t.Error("it keeps in step with member 2, and member 1 is there")
	}
	rested := rest(now() - long)
	n.keepStep(1)
	if !<-rested {
		t.Error("it is not in step with member 1")
	}
	delete(n.speakers.open, 1)
	rested = rest(now() - long)
	n.keepStep(2)
	if !<-rested {
		t.Error("it is not in step with member 2 when member 1 has gone")
	}
	if late := rest(now() - n.every() - n.every()/stepLate); !<-late {
		t.Error("its own time does not come")
	}
	rested = rest(now())
	l.step <- struct{}{}
	l.step <- struct{}{} // the one before was taken, and no frame went out
	close(n.closing)
	if <-rested {
		t.Error("frames go out one right after the other")
	}
	n.speakers.open[4] = 1
	delete(n.speakers.open, 2)
	for range len(l.step) {
		<-l.step
	}
	if n.keepStep(4); len(l.step) > 0 {
		t.Error("the first member keeps in step with another")
	}
}
