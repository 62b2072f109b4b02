package life

import (
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// TestRecoverAcceptLoss destroys two of three disks: the third names what may be lost, goes on
// alone with what it has, and a member of the old cluster that turns up after all is a stranger to
// it.
func TestRecoverAcceptLoss(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: kit.FaultSeed(t), MaxSize: 16 << 10,
		Interval: 5 * time.Millisecond})
	r.Flows(100)
	r.Load.Stop()
	tries := r.Load.Wait()
	r.World.Settle(r.Ctx, tries, time.Minute)
	nodes := r.Cluster.Nodes()
	left, ghost, lost := nodes[0], nodes[1], nodes[2]
	for _, n := range nodes {
		n.Kill()
	}
	if err := lost.Wipe(); err != nil {
		t.Fatal(err)
	}
	if status, out := r.Status(left, "cluster", "recover"); status != 0 {
		t.Errorf("without --accept-loss: exit status %d: %s", status, out)
	}
	if status, out := r.Status(left, "cluster", "recover", "--accept-loss"); status != 0 {
		t.Fatalf("exit status %d: %s", status, out)
	} else {
		t.Log(out)
	}
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	r.Within(time.Minute, "the recovered node", left.AwaitReady)

	// The one that was believed lost comes back, with all its data.
	if err := ghost.Start(); err != nil {
		t.Fatal(err)
	}
	kit.Eventually(t, 30*time.Second, func() bool {
		return strings.Contains(ghost.Log()+left.Log(), "cluster")
	}, func() string { return "nobody says anything" })
	accepted := r.World.Sink.Accepted()
	after := r.StartLoad(faults.LoadOptions{Connections: 4,
		Servers: func() []faults.Server {
			return []faults.Server{{Number: left.Number, Addr: left.SMTP}}
		}, Message: r.Gen.Message})
	kit.Eventually(t, time.Minute, func() bool {
		return after.Accepted() > 50 && r.World.Sink.Accepted() > accepted+50
	}, func() string { return "mail does not flow through the recovered node" })
	after.Stop()
	after.Wait()
	out := r.Command(left, "cluster", "status", "--json")
	if strings.Contains(out, `"name":"`+ghost.Name+`"`) || !strings.Contains(out, `"survives":0`) {
		t.Errorf("status of the recovered cluster: %s", out)
	}
	// The groups whose homes are gone drain here, and go once they are empty.
	kit.Eventually(t, time.Minute, func() bool {
		out = r.Command(left, "cluster", "status", "--json")
		return !strings.Contains(out, `"home":"`+ghost.Name+`"`) &&
			!strings.Contains(out, `"home":"`+lost.Name+`"`)
	}, func() string { return "groups of nodes that are gone: " + out })
	if why, ok := ghost.Ready(r.Ctx); ok {
		t.Errorf("a member of the old cluster takes mail: %s", why)
	}
}

// TestRecoverWhileOthersServe: two of three nodes serve, so nothing is lost, and a recovery of the
// third, which would make a second cluster, changes nothing. The third is started as usual.
func TestRecoverWhileOthersServe(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: 14, Quiet: true})
	third := r.Cluster.Node(2)
	third.Kill()
	status, out := r.Status(third, "cluster", "recover", "--accept-loss")
	if status != 65 || !strings.Contains(out, "the cluster goes on: ") ||
		!strings.Contains(out, "start this node as usual") {
		t.Fatalf("exit status %d: %s", status, out)
	}
	r.Back(third)
	r.Within(time.Minute, "after it was started as usual", r.Cluster.AwaitWhole)
}
