package life

import (
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// TestLifeReplaceTheLiving: a node that answers is not replaced, nor one by another that does not,
// nor one whom a group cannot spare; those that died a moment ago do not count as alive.
func TestLifeReplaceTheLiving(t *testing.T) {
	t.Parallel()
	r := kit.Life(t, kit.RunOptions{Nodes: 4})
	r.Within(time.Minute, "four nodes are whole", r.Cluster.AwaitWhole)
	status, err := r.Cluster.Status(r.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	voters, late := status.Groups[0].Voters, r.Cluster.Named(status.Groups[0].Nonvoters[0])
	at, living, dead := r.Cluster.Named(voters[0]), r.Cluster.Named(voters[1]),
		r.Cluster.Named(voters[2])
	replace := func(old, heir string, exit int, words ...string) {
		t.Helper()
		var status int
		var out string
		// without a leader now, or a group is moving
		kit.Eventually(t, 30*time.Second, func() bool {
			status, out = r.Status(at, "cluster", "replace", old, heir)
			return status == exit || exit == 65 && status != 75
		}, func() string { return out })
		if status != exit {
			t.Errorf("replace %s %s ends with %d, want %d: %s", old, heir, status, exit, out)
		}
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("replace %s %s does not say %q: %s", old, heir, w, out)
			}
		}
	}
	first, second := r.Crash(dead), r.Crash(late)
	replace(living.Name, at.Name, 65, living.Name+" answers", "postroad cluster drain "+living.Name)
	replace(at.Name, living.Name, 65, at.Name+" answers")
	replace(dead.Name, late.Name, 75, late.Name+" does not answer")
	replace(dead.Name, at.Name, 65, "without "+dead.Name+" group ",
		"which do not answer: "+late.Name)
	if err := late.Start(); err != nil {
		t.Fatal(err)
	}
	second.Until = time.Now()
	r.Within(30*time.Second, late.Name+" is ready", late.AwaitReady)
	replace(dead.Name, late.Name, 0)
	dead.Retire()
	r.Within(time.Minute, "after the replacement", r.Cluster.AwaitWhole)
	first.Until = time.Now()
	r.Flows(20)
	r.Verdict([]*faults.Load{r.Load}, func(string) bool { return false }, first, second)
}
