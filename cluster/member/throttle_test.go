package member

import (
	"testing"
	"time"
)

// TestThrottle: what goes on is logged every few seconds, other things and what comes anew at once.
func TestThrottle(t *testing.T) {
	var logged throttle
	start := time.Unix(1, 0)
	for _, c := range []struct {
		what string
		at   time.Duration
		ends bool
		want bool
	}{
		{"a", 0, false, true},
		{"a", time.Second, false, false},
		{"b", time.Second, false, true},
		{"a", logEvery - 1, false, false},
		{"a", logEvery, false, true},
		{"a", logEvery + time.Second, true, true},
	} {
		if c.ends {
			logged.forget(c.what)
		}
		if got := logged.due(c.what, start.Add(c.at)); got != c.want {
			t.Errorf("%s after %v: %v, want %v", c.what, c.at, got, c.want)
		}
	}
}
