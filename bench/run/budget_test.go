package run

import (
	"testing"
	"time"

	"github.com/postroad/postroad/bench/report"
)

// TestShortFormFits: whatever a measurement takes, the short form begins each scenario that there
// is time for, and nothing after its time.
func TestShortFormFits(t *testing.T) {
	const scenarios, cells = 12, 9
	for each, want := range map[time.Duration]int{ // what one takes: how many scenarios are begun
		time.Second: scenarios, 3 * time.Second: scenarios, 7 * time.Second: 7, time.Hour: 1,
	} {
		start := time.Unix(0, 0)
		now := start
		b := &budget{end: start.Add(shortStart), scenarios: scenarios}
		begun, all := 0, 0
		for range scenarios {
			b.next(now)
			for i := range cells {
				if !b.allows(now) {
					break
				}
				if now.Sub(start) >= shortStart {
					t.Errorf("%v each: one is begun after %v", each, now.Sub(start))
				}
				if i == 0 {
					begun++
				}
				all++
				now = now.Add(each)
				b.took(each)
			}
		}
		if begun != want || each == time.Second && all < 30 {
			t.Errorf("%v each: %d scenarios are begun, want %d; %d measurements", each, begun, want,
				all)
		}
	}
	if shortEnd >= time.Minute-3*time.Second || shortStart >= shortEnd {
		t.Error("the short form takes a minute or more")
	}
	var long *budget
	long.next(time.Now())
	if !long.allows(time.Now()) {
		t.Error("the long form has all the time there is")
	}
}

// TestShortFormJudgesNothing: the same figures are held against the bars of the scenario, but not
// in the short form.
func TestShortFormJudgesNothing(t *testing.T) {
	s, err := Parse("x.toml", []byte(small+"[[cell]]\n[[bar]]\ntext = \"fast\"\nmetric = "+
		"\"rate\"\nat_least = 10\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, short := range []bool{false, true} {
		res := &report.Result{System: "node"}
		res.Add("rate", 5)
		out := &report.Scenario{Cells: []*report.Cell{{Name: "x", Results: []*report.Result{res}}}}
		(&scene{o: &Options{Short: short}, s: s}).judge(out)
		if judged := len(out.Bars) > 0; judged == short {
			t.Errorf("short %v: %+v", short, out.Bars)
		}
	}
}
