package upgrade

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// This file is about versions that run side by side. The newer one is this program built with the
// tag pretend_newer: it speaks one protocol more, has a command for the control group, one for
// queue groups, and a path that the program of today does not serve; `cluster note` uses all three.

// noted is what `cluster note` says that a member knows.
type noted struct {
	Control string            `json:"control"`
	Queues  map[string]string `json:"queues"`
	Error   string            `json:"error"`
}

// note leaves a note at a node of the newer version; "-" only asks.
func note(
	r *kit.Run, n *faults.Node, text string,
) (status int, words string, all map[string]noted) {
	r.T.Helper()
	status, words = r.Status(n, "cluster", "note", text)
	if status == 0 {
		if err := json.Unmarshal([]byte(words), &all); err != nil {
			r.T.Fatalf("%v: %q", err, words)
		}
	}
	return status, words, all
}

// change restarts a node with another program, under load.
func change(r *kit.Run, n *faults.Node, program string) {
	r.T.Helper()
	n.Use(program)
	if err := r.Driver.Do(r.Ctx,
		faults.Step{Kind: faults.Restart, Node: slices.Index(r.Cluster.Nodes(), n)}); err != nil {
		r.T.Fatalf("%v\n%s", err, r.Chronicle())
	}
	r.Flows(kit.Rounds(30, 2000))
}

// TestUpgrade: three nodes of today's version become the next one, one after the other, under load.
// TestUpgrade: a new command is refused, with the names of those that hold it up, until the last is
// upgraded; then it works, and the older program can neither start nor join any more.
func TestUpgrade(t *testing.T) {
	old, newer := kit.Binary(t, ""), kit.Binary(t, "pretend_newer")
	r := kit.Life(t, kit.RunOptions{Nodes: 3})
	r.Flows(100)
	nodes := r.Cluster.Nodes()
	if kit.Long() { // back, while that is possible
		change(r, nodes[0], newer)
		change(r, nodes[0], old)
	}
	for i, n := range nodes {
		change(r, n, newer)
		if i+1 < len(nodes) {
			stillOld(r, n, nodes[i+1:])
		}
	}
	newWorks(r, nodes[1])
	r.Flows(50)
	noWayBack(r, nodes[0], old, newer, func() error { return nodes[0].Terminate() })
	crash := faults.Fault{Kind: faults.Kill, What: "SIGKILL " + nodes[2].Name,
		Lost: []int{nodes[2].Number}}
	noWayBack(r, nodes[2], old, newer, func() error {
		crash.UnderWay, crash.From = r.World.UnderWay(), time.Now()
		nodes[2].Kill()
		return nil
	})
	crash.Until = time.Now()
	oldCannotJoin(r)
	if st, err := r.Cluster.Status(r.Ctx); err != nil ||
		slices.ContainsFunc(st.Problems, func(p string) bool {
			return strings.Contains(p, "answer")
		}) {
		t.Errorf("%+v, %v", st, err)
	}
	r.Verdict([]*faults.Load{r.Load}, func(string) bool { return false }, crash)
}

// stillOld: the newer program has to wait for others.
func stillOld(r *kit.Run, n *faults.Node, others []*faults.Node) {
	r.T.Helper()
	var words string
	named := func(n *faults.Node) bool { return strings.Contains(words, " "+n.Name+" (version ") }
	// Each has to say first what it runs now.
	kit.Eventually(r.T, 20*time.Second, func() bool {
		var status int
		if status, words, _ = note(r, n, "too early"); status != 65 ||
			!strings.Contains(words, "needs protocol") {
			r.T.Fatalf("a command that %s does not know: status %d, %s", others[0].Name, status,
				words)
		}
		return !named(n) &&
			!slices.ContainsFunc(others, func(o *faults.Node) bool { return !named(o) })
	}, func() string { return "it does not name those that are to be upgraded: " + words })
	r.T.Logf("refused: %s", strings.TrimSpace(words))
	_, _, all := note(r, n, "-")
	if len(all) != 3 || all[n.Name].Error != "" {
		r.T.Errorf("%s was asked what is noted: %+v", n.Name, all)
	}
	for _, o := range others {
		if !strings.Contains(all[o.Name].Error, "404") {
			r.T.Errorf("%s, which does not know the path, answered %+v", o.Name, all[o.Name])
		}
	}
	for name, a := range all {
		if a.Control != "" || slices.ContainsFunc(mapValues(a.Queues),
			func(s string) bool { return s != "" }) {
			r.T.Errorf("%s has a note before its time: %+v", name, a)
		}
	}
}

func mapValues(m map[string]string) (all []string) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// newWorks: all members have applied the commands of the newer version.
func newWorks(r *kit.Run, n *faults.Node) {
	r.T.Helper()
	var status int
	var words string
	kit.Eventually(r.T, 20*time.Second, func() bool {
		status, words, _ = note(r, n, "it works")
		return status == 0
	},
		func() string {
			return fmt.Sprintf("all are upgraded, and still status %d: %s", status,
				words)
		})
	kit.Eventually(r.T, 20*time.Second, func() bool {
		_, words, all := note(r, n, "-")
		r.T.Log(strings.TrimSpace(words))
		noted := 0
		for _, a := range all {
			if a.Control != "it works" || !slices.Contains(mapValues(a.Queues), "it works") {
				return false
			}
			noted++
		}
		return noted == 3
	}, func() string { return "a member has not applied the note" })
}

// noWayBack: the older program does not start any more, whether the newer one stopped in good order
// or not; the newer one goes on where it was.
func noWayBack(r *kit.Run, n *faults.Node, old, newer string, end func() error) {
	r.T.Helper()
	if err := end(); err != nil {
		r.T.Fatal(err)
	}
	n.Use(old)
	if err := n.Start(); err != nil {
		r.T.Fatal(err)
	}
	// because of what the control group says, or of a command that it does not know
	r.MustBeRefused(n, "start a newer version")
	r.Flows(20)
	n.Use(newer)
	if err := n.Start(); err != nil {
		r.T.Fatal(err)
	}
	r.Within(time.Minute, "starting the newer program again", r.Cluster.AwaitWhole)
	r.Flows(20)
}

// oldCannotJoin: a new node with the older program is told to be upgraded.
func oldCannotJoin(r *kit.Run) {
	r.T.Helper()
	n, err := r.Cluster.Add()
	if err != nil {
		r.T.Fatal(err)
	}
	r.MustBeRefused(n, "the cluster speaks protocol", "upgrade it, then join")
	n.Retire()
	r.Flows(20)
}
