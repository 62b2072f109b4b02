package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
)

// TestRemovedIsTold: a node that was removed and goes on running, one that comes back after it was
// replaced, and one whose disk was wiped learn from the others that they are out, say so, and end
// with status 78. Meanwhile every node says at /readyz who is missing, and takes mail.
func TestRemovedIsTold(t *testing.T) {
	t.Parallel()
	r := life(t, runOptions{Nodes: 3})
	r.flows(50)
	nodes := r.Cluster.Nodes()
	fourth := r.grow()
	if out := r.command(nodes[0], "cluster", "drain", fourth.Name, "--timeout", "1m"); out != "" {
		t.Log(out)
	}
	r.command(nodes[0], "cluster", "remove", fourth.Name)
	fourth.Retire()
	r.mustSay(fourth, false, "was removed from the cluster", "its mail was delivered or handed over")
	r.mustRefuse(fourth)
	r.mustBeRefused(fourth, "event=node_shut_out", "empty its data directory and join again")
	if err := fourth.Start(); err != nil {
		t.Fatal(err)
	}
	r.mustBeRefused(fourth, "was removed from the cluster")
	r.flows(50)

	fifth := r.grow()
	dead := nodes[1]
	crash := r.crash(dead)
	for _, n := range []*faults.Node{nodes[0], nodes[2], fifth} {
		r.mustSay(n, true, "ok\n", dead.Name+" (member ", ") does not answer, since "+crash.From.UTC().Format("2006-01-02T"), "survives no further loss: its voters are ")
	}
	r.command(nodes[0], "cluster", "replace", dead.Name, fifth.Name)
	dead.Retire()
	if err := dead.Start(); err != nil {
		t.Fatal(err)
	}
	r.mustBeRefused(dead, "event=node_shut_out", "was removed from the cluster", "mail")
	crash.Until = time.Now()
	r.within(time.Minute, "after the replacement", r.Cluster.AwaitWhole)
	r.flows(50)

	wiped := nodes[2]
	second := r.crash(wiped)
	if err := wiped.Wipe(); err != nil {
		t.Fatal(err)
	}
	if err := wiped.Start(); err != nil {
		t.Fatal(err)
	}
	r.mustBeRefused(wiped, "refused: ", "join under another name and run `postroad cluster replace "+wiped.Name+" NEW`")
	wiped.Retire()
	if _, err := r.Driver.Replace(r.ctx, wiped); err != nil {
		t.Fatal(err)
	}
	r.within(time.Minute, "after the second replacement", r.Cluster.AwaitWhole)
	second.Until = time.Now()
	r.verdict([]*faults.Load{r.Load}, func(string) bool { return false }, crash, second)
}

// crash kills a node for good.
func (r *run) crash(n *faults.Node) faults.Fault {
	f := faults.Fault{Kind: faults.Kill, What: "SIGKILL " + n.Name, Lost: []int{n.Number}, UnderWay: r.World.UnderWay(), From: time.Now()}
	n.Kill()
	return f
}

// mustSay waits until /readyz of a node is ready, or not, with these words.
func (r *run) mustSay(n *faults.Node, ready bool, words ...string) {
	r.t.Helper()
	var said string
	eventually(r.t, 30*time.Second, func() bool {
		var ok bool
		said, ok = n.Ready(r.ctx)
		missing := slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(said, w) })
		return ok == ready && !missing
	}, func() string { return n.Name + " says at /readyz: " + said })
	r.t.Logf("%s says at /readyz (ready: %t): %s", n.Name, ready, said)
}
