package forming

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// TestFormingFounderComesBack: the founder of a cluster that was made by `cluster token` and
// `cluster join` is killed before anything of it was flushed from memory, and comes back.
func TestFormingFounderComesBack(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: 5, ByHand: true, Quiet: true})
	nodes := r.Cluster.Nodes()
	founder, token := nodes[0], r.Token(nodes[0], "--reusable")
	for _, n := range nodes[1:] {
		r.Join(n, founder, token)
	}
	r.Within(time.Minute, "forming", r.Cluster.AwaitWhole)
	few := r.StartLoad(faults.LoadOptions{Connections: 4, Count: 20})
	few.Wait()
	crash := r.Crash(founder)
	r.Back(founder)
	crash.Until = time.Now()
	r.Within(time.Minute, "after the crash", r.Cluster.AwaitWhole)
	r.Verdict([]*faults.Load{few}, func(string) bool { return false }, crash)
}

// TestFormingTokenOutlastsCrash: the founder is killed as soon as it has given a token, and again
// when a node has got its number with it, and has not come yet. The port is open again for whoever
// has the token, and the founder takes mail meanwhile.
func TestFormingTokenOutlastsCrash(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 2, Seed: 6, ByHand: true, Quiet: true})
	founder, second := r.Cluster.Node(1), r.Cluster.Node(2)
	token := r.Token(founder)
	first := r.Crash(founder)
	r.Back(founder)
	first.Until = time.Now()
	r.Command(second, "cluster", "join", "--token", token, founder.Advertise)
	again := r.Crash(founder)
	r.Back(founder)
	again.Until = time.Now()
	alone := r.StartLoad(faults.LoadOptions{Connections: 2, Count: 10, Servers: r.Cluster.Servers})
	alone.Wait()
	if n := alone.GaveUp(); n > 0 {
		t.Errorf(
			"%d messages were taken by no node while a node was expected that had joined and "+
				"did not run",
			n,
		)
	}
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	r.Within(20*time.Second, "forming", r.Cluster.AwaitReady)
	r.Within(time.Minute, "forming", r.Cluster.AwaitWhole)
	r.Verdict([]*faults.Load{alone}, func(string) bool { return false }, first, again)
}

// TestFormingFounderRolledBack: a founder whose data directory is put back as it was before the
// others joined knows of no others. It takes no mail and begins no second cluster.
func TestFormingFounderRolledBack(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 2, Seed: 13, ByHand: true, Quiet: true})
	founder, second := r.Cluster.Node(1), r.Cluster.Node(2)
	founder.Kill()
	old, newer := founder.Data+".old", founder.Data+".newer"
	if out, err := exec.Command("cp", "-a", founder.Data, old).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.Back(founder)
	r.Join(second, founder, r.Token(founder))
	r.Within(time.Minute, "forming", r.Cluster.AwaitWhole)
	founder.Kill()
	if err := errors.Join(os.Rename(founder.Data, newer),
		os.Rename(old, founder.Data)); err != nil {
		t.Fatal(err)
	}
	if err := founder.Start(); err != nil {
		t.Fatal(err)
	}
	r.MustBeRefused(founder, "is older than "+founder.Config+".member says",
		"cluster replace "+founder.Name+" NEW")
	if strings.Contains(founder.Log(), "is the owner") {
		t.Errorf("it owned its group:\n%s", founder.Log())
	}
	if err := errors.Join(os.Rename(founder.Data, old),
		os.Rename(newer, founder.Data)); err != nil {
		t.Fatal(err)
	}
	r.Back(founder)
	r.Within(time.Minute, "after the newer data were put back", r.Cluster.AwaitWhole)
}
