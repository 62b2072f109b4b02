package e2e

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
)

// token makes a join token at a node.
func (r *run) token(at *faults.Node) string {
	r.t.Helper()
	return strings.TrimSpace(r.command(at, "cluster", "token"))
}

// join makes a node that was never started a member, and starts it.
func (r *run) join(n, through *faults.Node, token string) {
	r.t.Helper()
	r.command(n, "cluster", "join", "--token", token, through.Advertise)
	if err := n.Start(); err != nil {
		r.t.Fatal(err)
	}
}

// back starts a node that was killed, and waits until it is ready.
func (r *run) back(n *faults.Node) {
	r.t.Helper()
	if err := n.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.within(20*time.Second, n.Name+" is started again", n.AwaitReady)
}

// TestFormingFounderComesBack: the founder of a cluster that was made by `cluster token` and
// `cluster join` is killed before anything of it was flushed from memory, and comes back.
func TestFormingFounderComesBack(t *testing.T) {
	t.Parallel()
	r := startRun(t, runOptions{Nodes: 3, Seed: 5, ByHand: true, Quiet: true})
	nodes := r.Cluster.Nodes()
	founder, token := nodes[0], r.token(nodes[0])
	for _, n := range nodes[1:] {
		r.join(n, founder, token)
	}
	r.within(time.Minute, "forming", r.Cluster.AwaitWhole)
	few := r.load(faults.LoadOptions{Connections: 4, Count: 20})
	few.Wait()
	crash := r.crash(founder)
	r.back(founder)
	crash.Until = time.Now()
	r.within(time.Minute, "after the crash", r.Cluster.AwaitWhole)
	r.verdict([]*faults.Load{few}, func(string) bool { return false }, crash)
}

// TestFormingTokenOutlastsCrash: the founder is killed as soon as it has given a token, and again
// when a node has got its number with it, and has not come yet. The port is open again for whoever
// has the token, and the founder takes mail meanwhile.
func TestFormingTokenOutlastsCrash(t *testing.T) {
	t.Parallel()
	r := startRun(t, runOptions{Nodes: 2, Seed: 6, ByHand: true, Quiet: true})
	founder, second := r.Cluster.Node(1), r.Cluster.Node(2)
	token := r.token(founder)
	first := r.crash(founder)
	r.back(founder)
	first.Until = time.Now()
	r.command(second, "cluster", "join", "--token", token, founder.Advertise)
	again := r.crash(founder)
	r.back(founder)
	again.Until = time.Now()
	alone := r.load(faults.LoadOptions{Connections: 2, Count: 10, Servers: r.Cluster.Servers})
	alone.Wait()
	if n := alone.GaveUp(); n > 0 {
		t.Errorf(
			"%d messages were taken by no node while a node was expected that had joined and did not run",
			n,
		)
	}
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	r.within(20*time.Second, "forming", r.Cluster.AwaitReady)
	r.within(time.Minute, "forming", r.Cluster.AwaitWhole)
	r.verdict([]*faults.Load{alone}, func(string) bool { return false }, first, again)
}

// TestFormingFounderRolledBack: a founder whose data directory is put back as it was before the
// others joined knows of no others. It takes no mail and begins no second cluster.
func TestFormingFounderRolledBack(t *testing.T) {
	t.Parallel()
	r := startRun(t, runOptions{Nodes: 2, Seed: 13, ByHand: true, Quiet: true})
	founder, second := r.Cluster.Node(1), r.Cluster.Node(2)
	founder.Kill()
	old, newer := founder.Data+".old", founder.Data+".newer"
	if out, err := exec.Command("cp", "-a", founder.Data, old).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.back(founder)
	r.join(second, founder, r.token(founder))
	r.within(time.Minute, "forming", r.Cluster.AwaitWhole)
	founder.Kill()
	if err := errors.Join(os.Rename(founder.Data, newer), os.Rename(old, founder.Data)); err != nil {
		t.Fatal(err)
	}
	if err := founder.Start(); err != nil {
		t.Fatal(err)
	}
	r.mustBeRefused(founder, "is older than "+founder.Config+".member says", "cluster replace "+founder.Name+" NEW")
	if strings.Contains(founder.Log(), "is the owner") {
		t.Errorf("it owned its group:\n%s", founder.Log())
	}
	if err := errors.Join(os.Rename(founder.Data, old), os.Rename(newer, founder.Data)); err != nil {
		t.Fatal(err)
	}
	r.back(founder)
	r.within(time.Minute, "after the newer data were put back", r.Cluster.AwaitWhole)
}
