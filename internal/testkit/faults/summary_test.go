package faults

import (
	"strings"
	"testing"
)

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
