package clock

import (
	"testing"
	"time"
)

// TestTogether: whoever waits wakes at a common moment, not later than it wants to and less than a
// step before.
func TestTogether(t *testing.T) {
	for _, d := range []time.Duration{Step, 2*Step + 20*time.Millisecond, time.Second} {
		for ago := -Step; ago < 3*Step; ago += time.Millisecond {
			wait := together(d, ago)
			if off := (ago + wait) % Step; off != 0 {
				t.Fatalf("%v, %v after a beat: waits %v, which is %v after a common moment", d, ago,
					wait, off)
			}
			if wait > d || wait <= d-Step {
				t.Fatalf("%v, %v after a beat: waits %v", d, ago, wait)
			}
		}
	}
	if d := 30 * time.Millisecond; together(d, time.Hour) != d {
		t.Error("a wait of less than a step is to stay as it is")
	}
}

// TestTogetherWithJitter: who looks at every second common moment does so whether it is a little
// early or late.
func TestTogetherWithJitter(t *testing.T) {
	for late := -10 * time.Millisecond; late <= 10*time.Millisecond; late += time.Millisecond {
		if wait := together(2*Step+20*time.Millisecond, 4*Step+late); wait != 2*Step-late {
			t.Errorf("%v late: waits %v", late, wait)
		}
	}
}
