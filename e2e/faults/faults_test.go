package faults

import (
	"context"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// TestFaults holds three nodes against everything that can go wrong with processes, networks and
// disks, under load: nothing that was acknowledged is lost, nothing arrives twice without a fault
// that explains it, no node attempts what it does not own, and what operators are told all the
// while is true. POSTROAD_LONG=1: 60 minutes and 1,200,000 messages at least,
// POSTROAD_FAULTS_FOR=5m makes that a time alone, POSTROAD_FAULTS_STEPS=20 a number of faults;
// POSTROAD_FAULTS_SEED repeats a run, POSTROAD_FAULTS_KINDS=pause,replace keeps to some kinds.
func TestFaults(t *testing.T) {
	faultRun(t, 3, 5, faults.Kill, faults.Pause, faults.Partition, faults.KillAll, faults.Restart)
}

// TestFaultsOfFive is the same with five nodes and five replicas, of which two may be lost at once;
// its long run has 30 minutes and 400,000 messages.
func TestFaultsOfFive(t *testing.T) {
	if !kit.Long() {
		t.Skip("skipped: five nodes are for the long run, POSTROAD_LONG=1")
	}
	faultRun(t, 5, 0)
}

// TestFaultsAlone does to a single node what can be done to one.
func TestFaultsAlone(t *testing.T) {
	faultRun(t, 1, 3, faults.Kill, faults.Pause, faults.KillAll, faults.Restart)
}

// faultRun carries out a schedule of so many steps of some kinds, or, if it is to be long, one of
// all kinds that fills the time.
func faultRun(t *testing.T, nodes, steps int, kinds ...faults.Kind) {
	plan := faults.PlanOptions{Nodes: nodes, Steps: steps, Kinds: kinds, Brief: true}
	span, messages := kit.LongRun, kit.LongMessages
	if nodes == 5 {
		plan.Losses = 2
		span, messages = kit.FiveRun, kit.FiveMessages
	}
	if kit.Long() {
		plan = faults.PlanOptions{Nodes: nodes, Steps: kit.ManySteps, Losses: plan.Losses}
	}
	kit.FromEnvironment(t, &plan, &span, &messages)
	kit.CarryOut(t, plan, span, messages)
}

// TestFaultsOfTheDisk: a disk that hangs, is full, or fails an fsync takes its node out of the game
// and nothing with it.
func TestFaultsOfTheDisk(t *testing.T) {
	if !kit.Injects(t) {
		kit.Need(t, faults.ErrNoInjection)
	}
	kinds := []faults.Kind{faults.Fsync, faults.Power}
	if kit.Long() {
		kinds = append(kinds, faults.Full, faults.Stall)
	}
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: kit.FaultSeed(t), Tags: "faults",
				MaxSize: 32 << 10, Interval: 5 * time.Millisecond})
			r.Flows(100)
			step := faults.Step{Kind: kind, For: 10 * time.Second}
			if err := r.Driver.Do(r.Ctx, step); err != nil {
				t.Fatalf("%v: %v\n%s", step, err, r.Logs())
			}
			r.Flows(100)
			r.MustBeClean()
		})
	}
}

// TestFaultsWithoutMajority: two of three nodes are gone; the third refuses mail with 451 4.3.2,
// says so at /readyz, delivers nothing after its lease, and goes on when one of the others is back.
func TestFaultsWithoutMajority(t *testing.T) {
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: kit.FaultSeed(t),
		Interval: 5 * time.Millisecond})
	r.Flows(100)
	nodes := r.Cluster.Nodes()
	step := faults.Step{Kind: faults.Partition, Node: 0, Sides: []int{0}, State: faults.Stalled,
		For: 10 * time.Second}
	r.Driver.Act = func(faults.Step, []*faults.Node) {
		kit.Eventually(t, 10*time.Second, func() bool {
			_, ok := nodes[0].Ready(r.Ctx)
			return !ok
		},
			func() string { return nodes[0].Name + " has no majority and is ready all the same" })
		why, _ := nodes[0].Ready(r.Ctx)
		t.Logf("%s is not ready: %s", nodes[0].Name, why)
		// a client that comes now: all those of the load may be waiting for an answer that nobody
		// can know
		r.MustRefuse(nodes[0])
		r.Flows(50) // at the others
	}
	if err := r.Driver.Do(r.Ctx, step); err != nil {
		t.Fatalf("%v\n%s", err, r.Logs())
	}
	r.Flows(100)
	r.MustBeClean()
}

// TestFaultsOrphansMove: the node that leads the busiest group is killed; what it had accepted is
// delivered by others within five seconds.
func TestFaultsOrphansMove(t *testing.T) {
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: kit.FaultSeed(t),
		Interval: 5 * time.Millisecond})
	r.World.Answer(faults.Slow(100 * time.Millisecond)) // so that it leaves something behind
	r.Flows(200)
	victim, err := r.Cluster.Busiest(r.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	step := faults.Step{Kind: faults.Kill, Node: indexOf(r.Cluster.Nodes(), victim),
		For: 8 * time.Second}
	r.Driver.Act = func(faults.Step, []*faults.Node) {
		orphans := faults.FindOrphans(r.World, r.Load.Tries(), victim.Number, time.Now())
		ctx, cancel := context.WithTimeout(r.Ctx, 30*time.Second)
		defer cancel()
		took, ok := orphans.AwaitFirst(ctx, r.World)
		if t.Logf("%d orphans; the first moved after %v", orphans.Count, took); !ok ||
			took > 5*time.Second {
			t.Errorf("orphaned messages must move again within 5 s")
		}
	}
	if err := r.Driver.Do(r.Ctx, step); err != nil {
		t.Fatal(err)
	}
	r.World.Answer(nil)
	r.MustBeClean()
}

func indexOf(nodes []*faults.Node, n *faults.Node) int {
	for i := range nodes {
		if nodes[i] == n {
			return i
		}
	}
	return -1
}
