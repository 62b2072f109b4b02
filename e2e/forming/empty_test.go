package forming

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// wiped kills a node and removes its data, as a lost disk does.
func wiped(r *kit.Run, n *faults.Node) {
	r.T.Helper()
	n.Kill()
	if err := n.Wipe(); err != nil {
		r.T.Fatal(err)
	}
}

// refusedEmpty starts a node whose data are gone; it must end with 78, and take no mail before
// that.
func refusedEmpty(r *kit.Run, n *faults.Node, words ...string) {
	r.T.Helper()
	if err := n.Start(); err != nil {
		r.T.Fatal(err)
	}
	r.MustBeRefused(n, words...)
}

// mustWait waits until a node has said in its log at least twice more what it waits for.
func mustWait(r *kit.Run, n *faults.Node, words string) {
	r.T.Helper()
	const line = "starting: waits for "
	before := strings.Count(n.Log(), line)
	kit.Eventually(r.T, 20*time.Second, func() bool {
		return strings.Count(n.Log(), line) >= before+2 && strings.Contains(n.Log(), words)
	}, func() string { return n.Name + " does not say that it waits: " + n.Log() })
}

// live reports what /livez of a node answers.
func live(n *faults.Node) (int, error) {
	resp, err := http.Get("http://" + n.Admin + "/livez")
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// TestFormingEmptyFirst: the first of a shared list comes back with an empty disk. Its cluster
// refuses it; while it does not reach the others it waits, says so, and can be told to stop. It
// never begins a second cluster.
func TestFormingEmptyFirst(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: 7, Quiet: true})
	nodes := r.Cluster.Nodes()
	first := nodes[0]
	wiped(r, first)
	refusedEmpty(r,
		first,
		"refused: ",
		"join under another name and run `postroad cluster replace "+first.Name+" NEW`",
	)

	nodes[1].Kill()
	nodes[2].Kill()
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	mustWait(r, first, nodes[1].Advertise+": ")
	if status, err := live(first); status != http.StatusOK {
		t.Errorf("/livez of a node that waits: %d, %v", status, err)
	}
	if said, ready := first.Ready(r.Ctx); ready ||
		!strings.Contains(said, "waits for a cluster to join") {
		t.Errorf("/readyz of a node that waits: %q, %t", said, ready)
	}
	if err := first.Terminate(); err != nil {
		t.Error(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	mustWait(r, first, "postroad cluster init")
	if err := nodes[1].Start(); err != nil {
		t.Fatal(err)
	}
	if err := nodes[2].Start(); err != nil {
		t.Fatal(err)
	}
	r.MustBeRefused(first, "join under another name")
}

// TestFormingByWord: nobody but the first is there, and an operator says that it is to begin. The
// others join it when they come.
func TestFormingByWord(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 2, Seed: 8, Quiet: true, Apart: true})
	nodes := r.Cluster.Nodes()
	if err := nodes[1].Start(); err != nil {
		t.Fatal(err)
	}
	mustWait(r, nodes[1], "nobody in cluster.join knows one yet")
	r.Command(nodes[1], "cluster", "init")
	r.Within(20*time.Second, "beginning", nodes[1].AwaitReady)
	crash := r.Crash(nodes[1])
	r.Back(nodes[1])
	crash.Until = time.Now()
	if err := nodes[0].Start(); err != nil {
		t.Fatal(err)
	}
	r.Within(time.Minute, "forming", r.Cluster.AwaitWhole)
}

// TestFormingEmptyByHand: a node that joined by command, and a founder, come back with empty disks:
// a note tells them who they were. Without it too they are told by the members that meet them.
func TestFormingEmptyByHand(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: 9, ByHand: true, Quiet: true})
	nodes := r.Cluster.Nodes()
	token := r.Token(nodes[0], "--reusable")
	for _, n := range nodes[1:] {
		r.Join(n, nodes[0], token)
	}
	r.Within(time.Minute, "forming", r.Cluster.AwaitWhole)
	for _, n := range []*faults.Node{nodes[2], nodes[0]} {
		wiped(r, n)
		refusedEmpty(r,
			n,
			"is empty, but this node was "+n.Name+", member ",
			"postroad cluster replace "+n.Name+" NEW",
		)
		if err := os.Remove(n.Config + ".member"); err != nil {
			t.Fatal(err)
		}
		refusedEmpty(r,
			n,
			"event=node_shut_out",
			"says that this node, at "+n.Advertise+", is its member ",
		)
		if err := n.Wipe(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFormingRemovedComesBack: a node that was removed comes back as a new one after its data
// directory was emptied, under the same name.
func TestFormingRemovedComesBack(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 2, Seed: 10, ByHand: true, Quiet: true})
	founder, n := r.Cluster.Node(1), r.Cluster.Node(2)
	token := r.Token(founder)
	r.Join(n, founder, token)
	r.Within(time.Minute, "forming", r.Cluster.AwaitWhole)
	r.Command(founder, "cluster", "drain", n.Name, "--timeout", "1m")
	r.Command(founder, "cluster", "remove", n.Name)
	wiped(r, n)
	token = r.Token(founder) // that before has ended with the removal
	r.Join(n, founder, token)
	r.Within(time.Minute, "forming again", r.Cluster.AwaitWhole)
	wiped(r, n)
	refusedEmpty(r, n, "member 3 of cluster ")
}
