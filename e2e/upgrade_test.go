package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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
func (r *run) note(n *faults.Node, text string) (status int, words string, all map[string]noted) {
	r.t.Helper()
	status, words = r.status(n, "cluster", "note", text)
	if status == 0 {
		if err := json.Unmarshal([]byte(words), &all); err != nil {
			r.t.Fatalf("%v: %q", err, words)
		}
	}
	return status, words, all
}

// change restarts a node with another program, under load.
func (r *run) change(n *faults.Node, program string) {
	r.t.Helper()
	n.Use(program)
	if err := r.Driver.Do(r.ctx, faults.Step{Kind: faults.Restart, Node: slices.Index(r.Cluster.Nodes(), n)}); err != nil {
		r.t.Fatalf("%v\n%s", err, r.chronicle())
	}
	r.flows(rounds(30, 2000))
}

// mustBeRefused waits until a node has ended by itself with status 78 and these words.
func (r *run) mustBeRefused(n *faults.Node, words ...string) {
	r.t.Helper()
	select {
	case <-n.Gone():
	case <-time.After(time.Minute):
		r.t.Fatalf("%s goes on\n%s", n.Name, n.Log())
	}
	if n.ExitStatus() != 78 {
		r.t.Errorf("%s ended with %d; want 78", n.Name, n.ExitStatus())
	}
	lines := strings.Split(strings.TrimSpace(n.Log()), "\n")
	for _, w := range words {
		if !strings.Contains(n.Log(), w) {
			r.t.Errorf("%s does not say %q:\n%s", n.Name, w, n.Log())
		}
	}
	r.t.Logf("%s ended with %d: %s", n.Name, n.ExitStatus(), lines[len(lines)-1])
}

// TestUpgrade: three nodes of today's version become the next one, one after the other, under load.
// What is new is refused, with the names of those that hold it up, until the last is upgraded; then
// it works, and the older program can neither start nor join any more.
func TestUpgrade(t *testing.T) {
	old, newer := binary(t, ""), binary(t, "pretend_newer")
	r := life(t, runOptions{Nodes: 3})
	r.flows(100)
	nodes := r.Cluster.Nodes()
	if long() { // back, while that is possible
		r.change(nodes[0], newer)
		r.change(nodes[0], old)
	}
	for i, n := range nodes {
		r.change(n, newer)
		if i+1 < len(nodes) {
			r.stillOld(n, nodes[i+1:])
		}
	}
	r.newWorks(nodes[1])
	r.flows(50)
	r.noWayBack(nodes[0], old, newer, func() error { return nodes[0].Terminate() })
	crash := faults.Fault{Kind: faults.Kill, What: "SIGKILL " + nodes[2].Name, Lost: []int{nodes[2].Number}}
	r.noWayBack(nodes[2], old, newer, func() error {
		crash.UnderWay, crash.From = r.World.UnderWay(), time.Now()
		nodes[2].Kill()
		return nil
	})
	crash.Until = time.Now()
	r.oldCannotJoin()
	if st, err := r.Cluster.Status(r.ctx); err != nil || slices.ContainsFunc(st.Problems, func(p string) bool { return strings.Contains(p, "answer") }) {
		t.Errorf("%+v, %v", st, err)
	}
	r.verdict([]*faults.Load{r.Load}, func(string) bool { return false }, crash)
}

// stillOld: the newer program has to wait for others.
func (r *run) stillOld(n *faults.Node, others []*faults.Node) {
	r.t.Helper()
	var words string
	named := func(n *faults.Node) bool { return strings.Contains(words, " "+n.Name+" (version ") }
	eventually(r.t, 20*time.Second, func() bool {
		var status int
		if status, words, _ = r.note(n, "too early"); status != 65 || !strings.Contains(words, "needs protocol") {
			r.t.Fatalf("a command that %s does not know: status %d, %s", others[0].Name, status, words)
		}
		return !named(n) && !slices.ContainsFunc(others, func(o *faults.Node) bool { return !named(o) })
	}, func() string { return "it does not name those that are to be upgraded: " + words }) // it has to say first what it runs now
	r.t.Logf("refused: %s", strings.TrimSpace(words))
	_, _, all := r.note(n, "-")
	if len(all) != 3 || all[n.Name].Error != "" {
		r.t.Errorf("%s was asked what is noted: %+v", n.Name, all)
	}
	for _, o := range others {
		if !strings.Contains(all[o.Name].Error, "404") {
			r.t.Errorf("%s, which does not know the path, answered %+v", o.Name, all[o.Name])
		}
	}
	for name, a := range all {
		if a.Control != "" || slices.ContainsFunc(mapValues(a.Queues), func(s string) bool { return s != "" }) {
			r.t.Errorf("%s has a note before its time: %+v", name, a)
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
func (r *run) newWorks(n *faults.Node) {
	r.t.Helper()
	var status int
	var words string
	eventually(r.t, 20*time.Second, func() bool { status, words, _ = r.note(n, "it works"); return status == 0 },
		func() string { return fmt.Sprintf("all are upgraded, and still status %d: %s", status, words) })
	eventually(r.t, 20*time.Second, func() bool {
		_, words, all := r.note(n, "-")
		r.t.Log(strings.TrimSpace(words))
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
func (r *run) noWayBack(n *faults.Node, old, newer string, end func() error) {
	r.t.Helper()
	if err := end(); err != nil {
		r.t.Fatal(err)
	}
	n.Use(old)
	if err := n.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.mustBeRefused(n, "start a newer version") // because of what the control group says, or of a command that it does not know
	r.flows(20)
	n.Use(newer)
	if err := n.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.within(time.Minute, "starting the newer program again", r.Cluster.AwaitWhole)
	r.flows(20)
}

// oldCannotJoin: a new node with the older program is told to be upgraded.
func (r *run) oldCannotJoin() {
	r.t.Helper()
	n, err := r.Cluster.Add()
	if err != nil {
		r.t.Fatal(err)
	}
	r.mustBeRefused(n, "the cluster speaks protocol", "upgrade it, then join")
	n.Retire()
	r.flows(20)
}
