package faults

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestMeter: a moment comes when enough has gone to or from a node, and a narrow line takes time.
func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, gone := NewNet(), make(chan struct{})
		two := n.After(2, 1000)
		came := func() bool {
			select {
			case <-two:
				return true
			default:
				return false
			}
		}
		n.meter.passed(link{1, 3}, 5000, gone)
		n.meter.passed(link{1, 2}, 600, gone)
		if came() {
			t.Error("too early")
		}
		n.meter.passed(link{2, 3}, 400, gone)
		if !came() {
			t.Error("too late")
		}
		n.Slow(2, 1000)
		start := time.Now()
		n.meter.passed(link{1, 2}, 500, gone)
		n.meter.passed(link{2, 1}, 500, gone)
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Errorf("500 octets at 1,000 a second took %v", took)
		}
		close(gone)
		n.meter.passed(link{1, 2}, 1<<20, gone)
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Error("an ended connection waits")
		}
	})
}
