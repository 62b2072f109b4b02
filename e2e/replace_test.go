package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/faults"
)

// TestLifeReplaceTheLiving: a node that answers is not replaced, nor one by another that does not,
// nor one whom a group cannot spare; those that died a moment ago do not count as alive.
func TestLifeReplaceTheLiving(t *testing.T) {
	r := life(t, runOptions{Nodes: 4})
	r.within(time.Minute, "four nodes are whole", r.Cluster.AwaitWhole)
	nodes := r.Cluster.Nodes()
	at, living, dead, late := nodes[0], nodes[1], nodes[2], nodes[3]
	refused := func(old, heir string, exit int, words ...string) {
		t.Helper()
		status, out := r.status(at, "cluster", "replace", old, heir)
		if status != exit {
			t.Errorf("replace %s %s ends with %d, want %d: %s", old, heir, status, exit, out)
		}
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("replace %s %s does not say %q: %s", old, heir, w, out)
			}
		}
	}
	first, second := r.crash(dead), r.crash(late)
	refused(living.Name, at.Name, 65, living.Name+" answers", "postroad cluster drain "+living.Name)
	refused(at.Name, living.Name, 65, at.Name+" answers")
	refused(dead.Name, late.Name, 75, late.Name+" does not answer")
	refused(dead.Name, at.Name, 65, "without "+dead.Name+" group ", "which do not answer: "+late.Name)
	if err := late.Start(); err != nil {
		t.Fatal(err)
	}
	second.Until = time.Now()
	r.within(30*time.Second, late.Name+" is ready", late.AwaitReady)
	r.command(at, "cluster", "replace", dead.Name, late.Name)
	dead.Retire()
	r.within(time.Minute, "after the replacement", r.Cluster.AwaitWhole)
	first.Until = time.Now()
	r.flows(20)
	r.verdict([]*faults.Load{r.Load}, func(string) bool { return false }, first, second)
}
