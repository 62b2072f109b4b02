package bench

import (
	"fmt"
	"runtime"
	"sort"
	"testing"

	"github.com/postroad/postroad/bench/measure"
)

// logMachine says what the figures of a run were taken on.
func logMachine(t testing.TB, dir string) {
	disk, err := measure.MeasureDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("file system %s, bare fsync of 4 KiB %v, %d processors", disk.FileSystem, disk.Fsync,
		runtime.NumCPU())
}

type speed struct{ rate, cpu float64 } // messages/s, CPU microseconds per message

func (s speed) String() string { return fmt.Sprintf("%.0f/s %.0fus", s.rate, s.cpu) }

func median(s []speed) speed {
	sort.Slice(s, func(i, j int) bool { return s[i].rate < s[j].rate })
	return s[len(s)/2]
}

// inTurn measures theirs, 0, and ours, 1, in alternation, and returns ours in relation to theirs:
// the middle of the rounds' ratios of the rates, and the CPU.
func inTurn(
	t *testing.T, what string, names [2]string, rounds int, measure func(which int) speed,
) (rate, cpu float64) {
	t.Helper()
	var all [2][]speed
	var ratios []float64
	for i := range rounds {
		var got [2]speed
		for k := range got {
			which := (i + k) % 2
			got[which] = measure(which)
			all[which] = append(all[which], got[which])
		}
		ratios = append(ratios, got[1].rate/got[0].rate)
	}
	sort.Float64s(ratios)
	rate, cpu = ratios[len(ratios)/2], meanCPU(all[1])/meanCPU(all[0])
	for which, name := range names {
		t.Logf("%s: %-13s %v", what, name, summarize(all[which]))
	}
	t.Logf("%s: %.2f times the rate at %.2f times the CPU", what, rate, cpu)
	return rate, cpu
}

func summarize(s []speed) string {
	return fmt.Sprintf("%6.0f messages/s (middle of %d rounds), %.1f us CPU each", median(s).rate,
		len(s), meanCPU(s))
}

func meanCPU(s []speed) (mean float64) {
	for _, one := range s {
		mean += one.cpu / float64(len(s))
	}
	return mean
}
