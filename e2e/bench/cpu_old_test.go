package bench

import (
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/postroad/postroad/e2e/kit"
)

// TestCPUAgainstOld compares the CPU for a message with that of another program, in alternated
// pairs, on one node and on three:
//
//	POSTROAD_LONG=1 POSTROAD_OLD=/path/to/old go test ./e2e/bench -run TestCPUAgainstOld -v
//
// It prints the middle of the ratios, new to old, and the 95 % interval of their geometric mean.
// The interval is to reach down to 1, the middle to be at most 1.05. Without POSTROAD_OLD the
// program is compared with itself, which shows that the measurement works.
func TestCPUAgainstOld(t *testing.T) {
	kit.Measures(t)
	const pairs, messages = 20, 3000
	programs := []string{os.Getenv("POSTROAD_OLD"), ""}
	sink := kit.StartSmtpSink(t)
	for _, size := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", size), func(t *testing.T) {
			var clusters [2][]*kit.Node
			for i, program := range programs {
				clusters[i] = kit.DirectClusterOf(
					t,
					program,
					size,
					kit.SmartHost("127.0.0.1:"+sink.Port),
					"",
				)
				measureCluster(t, clusters[i], sink, 10, messages) // the first is slower
			}
			var ratios []float64
			for pair := range pairs {
				var cpu [2]float64
				for k := range 2 {
					i := (pair + k) % 2 // who is first alternates
					s, _ := measureCluster(t, clusters[i], sink, 10, messages)
					cpu[i] = s.cpu
				}
				ratios = append(ratios, cpu[1]/cpu[0])
				t.Logf(
					"pair %d: old %.0f us, new %.0f us a message, ratio %.3f",
					pair+1,
					cpu[0],
					cpu[1],
					cpu[1]/cpu[0],
				)
			}
			middle, low, high := interval(ratios)
			t.Logf(
				"%d nodes, %d pairs: the middle ratio is %.3f, 95 %% interval of the mean %.3f "+
					"to %.3f",
				size,
				pairs,
				middle,
				low,
				high,
			)
			if low > 1 || middle > 1.05 {
				t.Error("a message costs more than before")
			}
		})
	}
}

// interval returns the middle of ratios and the 95 % interval of their geometric mean.
func interval(ratios []float64) (middle, low, high float64) {
	n := float64(len(ratios))
	var sum, squares float64
	for _, r := range ratios {
		sum += math.Log(r)
	}
	mean := sum / n
	for _, r := range ratios {
		squares += (math.Log(r) - mean) * (math.Log(r) - mean)
	}
	const student = 2.1 // for 20; of fewer the interval is too narrow
	half := student * math.Sqrt(squares/(n-1)/n)
	sorted := slices.Sorted(slices.Values(ratios))
	middle = (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
	return middle, math.Exp(mean - half), math.Exp(mean + half)
}
