package faults

import (
	"strings"
	"testing"
	"time"
)

// TestElections: a term is without a cause when no fault, nor a stop of the machine, was shortly
// before it.
func TestElections(t *testing.T) {
	faults := []Fault{{Kind: Kill, From: at(10), Until: at(12)}}
	stops := []Stop{{at(40), at(40.4)}}
	for _, c := range []struct {
		seconds float64
		caused  bool
	}{{5, false}, {10, true}, {14, true}, {17, false}, {41, true}, {50, false}} {
		got := Elections([]Term{{Node: 1, Group: 2, At: at(c.seconds)}}, faults, stops, 3*time.Second)
		if (len(got) == 0) != c.caused {
			t.Errorf("at %v s it has a cause: %t, want %t", c.seconds, len(got) == 0, c.caused)
		}
	}
}

// TestTermOf reads the log's lines.
func TestTermOf(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 10, 0, 0, time.UTC)
	const line = "Dec 31 23:59:58 n1 postroad[77]: group 12: this node is the owner (term 3)"
	got, ok := termOf(line, now)
	if !ok || got.Group != 12 || !got.At.Equal(time.Date(2025, 12, 31, 23, 59, 58, 0, time.UTC)) {
		t.Errorf("%+v, %t", got, ok)
	}
	no := strings.Replace(line, "is the owner", "is not the owner any more", 1)
	for _, line := range []string{no, "", "postroad: fatal"} {
		if got, ok := termOf(line, now); ok {
			t.Errorf("%q is read as %v", line, got)
		}
	}
}

// TestStopsHaveTwoThresholds: 0.3 s is seen, 0.7 s is a fault.
func TestStopsHaveTwoThresholds(t *testing.T) {
	d := &Driver{Cluster: &Cluster{}, World: &World{}}
	d.stood(at(1), at(1.2))
	d.stood(at(2), at(2.4))
	d.stood(at(3), at(4))
	if s, f := d.Stops(), d.Faults(); len(s) != 2 || len(f) != 1 {
		t.Errorf("stops %v, faults %v", s, f)
	}
}

// TestSummary names what was done and what became of it.
func TestSummary(t *testing.T) {
	d := &Driver{}
	d.count(Kill)
	d.count(Flip)
	d.count(Flip)
	d.noteEnd(78, "postroad: join under another name and run `postroad cluster replace n1 NEW`")
	d.noteEnd(70, "postroad: unexpected end of file")
	v := &Verdict{Messages: 5, Acknowledged: 7, Duplicates: 2, Named: 1}
	text := d.Summary(v)
	for _, want := range []string{
		"faults: 3: kill 1 flip 2\n", "1 with 70, without a word of what to do; 1 with 78\n",
		"messages 5, recipients 7: lost 0, named and not back 1", "further copies: excused 2",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}
