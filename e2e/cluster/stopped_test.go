package cluster

import (
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// stoppedConnections is the limit of the one site in TestClusterLimitBesideAStopped.
const stoppedConnections = 4

// TestClusterLimitBesideAStopped: a node is stopped (SIGSTOP) while it has connections open to a
// site that gets as many as the cluster's limit allows. The kernel keeps them open, others own its
// mail after some seconds and would like more of them; all together never have more than the limit
// says, nor when the node goes on. Then they have as many as before.
func TestClusterLimitBesideAStopped(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(
		t,
		kit.RunOptions{Nodes: 3, Domains: 1, Seed: 20261130, Size: 1 << 10, Quiet: true, Extra: `
[shaping."a.example"]
connections = 4
`},
	)
	slow := faults.Slow(150 * time.Millisecond)
	r.World.Answer(slow)
	// More than the site gets, at all nodes, so that each has mail for it all the time.
	r.StartLoad(
		faults.LoadOptions{
			Connections: 12,
			Interval:    300 * time.Millisecond,
			Message:     r.Gen.Message,
		},
	)
	all := func() bool { return r.World.Sink.Open() == stoppedConnections }
	for i := range kit.Rounds(1, 6) {
		kit.Eventually(
			t,
			time.Minute,
			all,
			func() string { return "the site does not get what the limit allows\n" + r.State() },
		)
		hit := r.Cluster.Nodes()[i%3]
		hold(r, hit.Number, slow)
		step := faults.Step{Kind: faults.Pause, Node: i % 3, For: 20 * time.Second}
		if err := r.Driver.Do(r.Ctx, step); err != nil {
			t.Fatalf("%v: %v\n%s", step, err, r.Logs())
		}
		r.World.Answer(slow)
		kit.Eventually(
			t,
			time.Minute,
			all,
			func() string { return "the site does not get what it got before\n" + r.State() },
		)
	}
	if open := r.World.Sink.MostOpen(); open > stoppedConnections {
		t.Errorf("%d connections at once: the limit is %d", open, stoppedConnections)
	}
	r.World.Answer(nil)
	r.MustBeClean()
}

// hold has the receiving server keep a node's transactions from their begin on, until that node is
// stopped, and returns when there is one: so that the node has a connection open when it stops.
func hold(r *kit.Run, number int, others func(*mailtest.Step) mailtest.Action) {
	r.T.Helper()
	held, release := make(chan struct{}, 100), make(chan struct{})
	r.World.Answer(func(s *mailtest.Step) mailtest.Action {
		if s.At != mailtest.AtMail || faults.NodeOf(s) != number {
			return others(s)
		}
		select {
		case held <- struct{}{}:
		default:
		}
		return mailtest.Action{Until: release}
	})
	r.Driver.Act = func(faults.Step, []*faults.Node) { close(release) } // it does not hear of it
	select {
	case <-held:
	case <-time.After(time.Minute):
		r.T.Fatalf("n%d delivers nothing", number)
	}
}
