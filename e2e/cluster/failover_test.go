package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// Bounds of how soon mail moves again, the middle of all tries.
const (
	movesAfterKill  = 1500 * time.Millisecond
	movesAfterStart = 3 * time.Second // of all nodes, after all were killed
)

var movesAgain = regexp.MustCompile(`move again after ([\d.]+) s`)

// TestFailover measures how soon what a killed node left behind moves again: in the demonstration,
// and when all nodes were killed and started again, 20 times each.
func TestFailover(t *testing.T) {
	kit.Measures(t)
	const times = 20
	program := kit.Binary(t, "")
	kit.NeedClusters(t, program)
	t.Run("one killed", func(t *testing.T) {
		var took []time.Duration
		for range times {
			out, err := exec.CommandContext(t.Context(), program, "demo", "--nodes", "3",
				"--messages", "1000").
				CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if m := movesAgain.FindSubmatch(out); m != nil {
				s, _ := strconv.ParseFloat(string(m[1]), 64)
				took = append(took, time.Duration(s*float64(time.Second)))
			}
		}
		judgeMoves(t, took, movesAfterKill)
	})
	t.Run("all killed", func(t *testing.T) {
		r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: 5, Quiet: true})
		var took []time.Duration
		for range times {
			took = append(took, killAll(r))
		}
		judgeMoves(t, took, movesAfterStart)
	})
}

// judgeMoves says what was measured, and whether it is within the bound.
func judgeMoves(t *testing.T, took []time.Duration, bound time.Duration) {
	t.Helper()
	if len(took) == 0 {
		t.Log("nothing was left behind")
		return
	}
	slices.Sort(took)
	middle := took[len(took)/2]
	t.Logf("mail moves again after %v, the middle of %d; all: %v", middle, len(took), took)
	if middle > bound {
		t.Errorf("the bound is %v", bound)
	}
}

// killAll kills all nodes with mail that is not delivered yet, starts them, and returns how long
// after the last start mail moves.
func killAll(r *kit.Run) (took time.Duration) {
	r.T.Helper()
	r.World.Answer(faults.Slow(time.Minute)) // until they are killed
	load := r.StartLoad(faults.LoadOptions{Connections: 12, Count: 100})
	select {
	case <-load.Done():
	case <-r.Ctx.Done():
	}
	for _, n := range r.Cluster.Nodes() {
		n.Kill()
	}
	before := r.World.Sink.Accepted()
	r.World.Answer(nil)
	for _, n := range r.Cluster.Nodes() {
		if err := n.Start(); err != nil {
			r.T.Fatal(err)
		}
	}
	start := time.Now()
	r.Within(2*time.Minute, "mail moves", func(ctx context.Context) error {
		for r.World.Sink.Accepted() == before {
			if !sleep(ctx, 10*time.Millisecond) {
				return fmt.Errorf("nothing was delivered: %w", ctx.Err())
			}
		}
		return nil
	})
	took = time.Since(start)
	r.Within(2*time.Minute, "all is ready", r.Cluster.AwaitReady)
	r.World.Settle(r.Ctx, load.Wait(), time.Minute)
	return took
}

// sleep waits between two looks; false: ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
