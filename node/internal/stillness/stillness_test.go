package stillness

import (
	"slices"
	"testing"
	"time"
)

// TestStillnessLapses: whoever asks all groups is told by a node that it keeps still, at most so
// long after the time before; else messages may have gone meanwhile.
func TestStillnessLapses(t *testing.T) {
	t0 := time.Unix(1_800_000_000, 0)
	at := func(seconds float64) time.Time {
		return t0.Add(time.Duration(seconds * float64(time.Second)))
	}
	type word struct{ asked, answered float64 }
	for _, c := range []struct {
		name   string
		going  bool
		first  []word // in the first round
		later  []word
		lapsed bool
	}{
		{"all the time", true, []word{{0, 0.1}}, []word{{3, 3.1}, {6, 7}}, false},
		{"one was lost", true, []word{{0, 0.1}}, []word{{6, 6.1}}, false},
		{"who asks was stopped", true, []word{{0, 0.1}}, []word{{3, 3.1}, {15, 15.1}}, true},
		{"stopped while one was under way", true, []word{{0, 0.1}}, []word{{3, 15}}, true},
		{"never there", true, nil, nil, false},
		{"there too late", true, nil, []word{{3, 3.1}}, true},
		{"a group is to go since then", false, nil, []word{{3, 3.1}, {6, 6.1}}, false},
		{"a group is to go since then, and it was heard of late", false, nil, []word{{12, 12.1}},
			true},
	} {
		s := New(t0, c.going, 10*time.Second)
		for _, w := range c.first {
			s.Heard(2, at(w.asked), at(w.answered))
		}
		s.Begun()
		for _, w := range c.later {
			s.Heard(2, at(w.asked), at(w.answered))
		}
		if got := s.Lapsed(); slices.Contains(got, 2) != c.lapsed ||
			s.Told() != (len(c.first)+len(c.later) > 0) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
