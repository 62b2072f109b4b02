package life

import (
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
)

// TestLifeJoinMeanwhile: a node that wants to join while the cluster cannot decide anything,
// because two of its three nodes are stopped, waits, and joins when they are back.
func TestLifeJoinMeanwhile(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: 4, Quiet: true, Tags: "faults"})
	nodes := r.Cluster.Nodes()
	nodes[1].Pause()
	nodes[2].Pause()
	fresh, err := r.Cluster.Add()
	if err != nil {
		t.Fatal(err)
	}
	kit.Eventually(t, time.Minute, func() bool {
		return strings.Contains(fresh.Log(), "joining: ")
	}, func() string { return "it was told nothing:\n" + fresh.Log() })
	select {
	case <-fresh.Gone():
		t.Fatalf("it has given up:\n%s", fresh.Log())
	default:
	}
	nodes[1].Resume()
	nodes[2].Resume()
	r.Within(time.Minute, "joining", r.Cluster.AwaitWhole)
}
