package node

import (
	"testing"
	"time"
)

// TestSeldom: what goes on is told every few seconds, other things and what comes anew at once.
func TestSeldom(t *testing.T) {
	var s seldom
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
		{"a", sayEvery - 1, false, false},
		{"a", sayEvery, false, true},
		{"a", sayEvery + time.Second, true, true},
	} {
		if c.ends {
			s.forget(c.what)
		}
		if got := s.due(c.what, start.Add(c.at)); got != c.want {
			t.Errorf("%s after %v: %v, want %v", c.what, c.at, got, c.want)
		}
	}
}
