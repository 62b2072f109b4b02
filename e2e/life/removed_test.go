package life

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// TestRemovedIsTold: a node that was removed and goes on running, one that comes back after it was
// replaced, and one whose disk was wiped learn from the others that they are out, say so, and end
// with status 78. Meanwhile every node says at /readyz who is missing, and takes mail.
func TestRemovedIsTold(t *testing.T) {
	t.Parallel()
	r := kit.Life(t, kit.RunOptions{Nodes: 3})
	r.Flows(50)
	nodes := r.Cluster.Nodes()
	fourth := r.Grow()
	if out := r.Command(nodes[0], "cluster", "drain", fourth.Name, "--timeout", "1m"); out != "" {
		t.Log(out)
	}
	r.Command(nodes[0], "cluster", "remove", fourth.Name)
	fourth.Retire()
	mustSay(r, fourth, false, "was removed from the cluster",
		"its mail was delivered or handed over")
	r.MustRefuse(fourth)
	r.MustBeRefused(fourth, "event=node_shut_out", "empty its data directory and join again")
	if err := fourth.Start(); err != nil {
		t.Fatal(err)
	}
	r.MustBeRefused(fourth, "was removed from the cluster")
	r.Flows(50)

	fifth := r.Grow()
	dead := nodes[1]
	crash := r.Crash(dead)
	for _, n := range []*faults.Node{nodes[0], nodes[2], fifth} {
		mustSay(r, n, true, "ok\n", dead.Name+" (member ",
			") does not answer, since "+crash.From.UTC().Format("2006-01-02T"),
			"survives no further loss: its voters are ")
	}
	var said string
	// it may be told to wait until others have its places
	kit.Eventually(t, time.Minute, func() bool {
		var status int
		status, said = r.Status(nodes[0], "cluster", "replace", dead.Name, fifth.Name)
		return status == 0
	}, func() string { return "it is not replaced: " + said })
	dead.Retire()
	if err := dead.Start(); err != nil {
		t.Fatal(err)
	}
	r.MustBeRefused(dead, "event=node_shut_out", "was removed from the cluster", "mail")
	crash.Until = time.Now()
	r.Within(time.Minute, "after the replacement", r.Cluster.AwaitWhole)
	r.Flows(50)

	wiped := nodes[2]
	second := r.Crash(wiped)
	if err := wiped.Wipe(); err != nil {
		t.Fatal(err)
	}
	if err := wiped.Start(); err != nil {
		t.Fatal(err)
	}
	r.MustBeRefused(wiped, "refused: ",
		"join under another name and run `postroad cluster replace "+wiped.Name+" NEW`")
	wiped.Retire()
	if _, err := r.Driver.Replace(r.Ctx, wiped); err != nil {
		t.Fatal(err)
	}
	r.Within(time.Minute, "after the second replacement", r.Cluster.AwaitWhole)
	second.Until = time.Now()
	r.Verdict([]*faults.Load{r.Load}, func(string) bool { return false }, crash, second)
}

// mustSay waits until /readyz of a node is ready, or not, with these words.
func mustSay(r *kit.Run, n *faults.Node, ready bool, words ...string) {
	r.T.Helper()
	var said string
	kit.Eventually(r.T, 30*time.Second, func() bool {
		var ok bool
		said, ok = n.Ready(r.Ctx)
		missing := slices.ContainsFunc(words, func(w string) bool {
			return !strings.Contains(said, w)
		})
		return ok == ready && !missing
	}, func() string { return n.Name + " says at /readyz: " + said })
	r.T.Logf("%s says at /readyz (ready: %t): %s", n.Name, ready, said)
}
