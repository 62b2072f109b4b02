package disk

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
)

// TestSmallFilesOutlastPowerLoss: power is lost as soon as a node has started for the first time,
// given a token, and taken in another one. Of its small files, none that was never synced is needed
// to start again. The test needs to look at the kernel's pages, as root.
func TestSmallFilesOutlastPowerLoss(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 2, Seed: 9, ByHand: true, Quiet: true})
	nodes := r.Cluster.Nodes()
	r.Join(nodes[1], nodes[0], r.Token(nodes[0]))
	r.Within(time.Minute, "the second node comes", nodes[1].AwaitReady)
	for _, n := range nodes {
		n.Kill()
		empty, err := n.DropUnsynced()
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
			t.Skipf("skipped: the kernel does not tell which pages are on stable storage: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: never synced, and empty now: %q", n.Name, empty)
	}
	for _, n := range nodes {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		r.Within(20*time.Second, n.Name+" starts again", n.AwaitReady)
	}
}
