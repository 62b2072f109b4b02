package life

import (
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// TestLifeJoinWhileOneIsDown: a node that joins just after another has died, before that one is
// missed, takes mail without it.
func TestLifeJoinWhileOneIsDown(t *testing.T) {
	t.Parallel()
	r := kit.Life(t, kit.RunOptions{Nodes: 3})
	r.Within(time.Minute, "three nodes are whole", r.Cluster.AwaitWhole)
	dead := r.Cluster.Nodes()[0]
	crash := r.Crash(dead)
	fresh, err := r.Cluster.Add()
	if err != nil {
		t.Fatal(err)
	}
	r.Within(30*time.Second, fresh.Name+" is ready without "+dead.Name, fresh.AwaitReady)
	if err := dead.Start(); err != nil {
		t.Fatal(err)
	}
	crash.Until = time.Now()
	r.Within(time.Minute, "all are back", r.Cluster.AwaitWhole)
	r.Verdict([]*faults.Load{r.Load}, func(string) bool { return false }, crash)
}
