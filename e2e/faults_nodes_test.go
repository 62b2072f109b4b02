package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
)

// faultSeed is the seed of a fault run: POSTROAD_FAULTS_SEED, or one that is fixed for each
// commit's run to be the same.
func faultSeed(t *testing.T) (seed uint64) {
	seed = 20261123
	if v := os.Getenv("POSTROAD_FAULTS_SEED"); v != "" {
		if _, err := fmt.Sscan(v, &seed); err != nil {
			t.Fatalf("POSTROAD_FAULTS_SEED=%q: want a number", v)
		}
	}
	t.Logf("POSTROAD_FAULTS_SEED=%d", seed)
	return seed
}

// Sizes of the long run.
const (
	longRun      = 60 * time.Minute
	longMessages = 1_200_000
	fiveRun      = 30 * time.Minute
	fiveMessages = 400_000
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
	if !long() {
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
	span, messages := longRun, longMessages
	if nodes == 5 {
		plan.Losses = 2
		span, messages = fiveRun, fiveMessages
	}
	if long() {
		plan = faults.PlanOptions{Nodes: nodes, Steps: manySteps, Losses: plan.Losses}
	}
	fromEnvironment(t, &plan, &span, &messages)
	carryOut(t, plan, span, messages)
}

// carryOut carries out a schedule under load and judges what became of the mail. One of manySteps
// ends after a time and a number of messages.
func carryOut(t *testing.T, plan faults.PlanOptions, span time.Duration, messages int) {
	o := runOptions{Nodes: plan.Nodes, Tags: "faults", MaxSize: 32 << 10, Interval: 5 * time.Millisecond}
	o.Seed, plan.Inject = faultSeed(t), injects(t)
	plan.Seed = o.Seed
	if plan.Losses > 1 {
		o.Replicas = 5
	}
	if long() {
		o.Interval = 20 * time.Millisecond // enough for the count; the rest of the machine is for the faults
	}
	if plan.Nodes > 1 {
		o.Shards, o.Verbs = 4, true
	}
	r := startRun(t, o)
	r.flows(100)
	for i, start := 0, time.Now(); i < plan.Steps; i++ {
		if plan.Steps == manySteps && time.Since(start) >= span && r.Load.Accepted() >= messages {
			break
		}
		step := faults.Plan(withSteps(plan, i+1))[i]
		if err := r.Driver.Run(r.ctx, []faults.Step{step}); err != nil {
			t.Errorf("fault %d: %v\n%s\n%s", i+1, err, r.state(), r.chronicle())
			r.finish(time.Minute) // what the steps before have shown is worth to be known
			t.FailNow()
		}
		r.flows(100)
	}
	r.mustBeClean()
}

// manySteps are more than the longest run has time for.
const manySteps = 10_000

// fromEnvironment reads what makes a fault run another one.
func fromEnvironment(t *testing.T, plan *faults.PlanOptions, span *time.Duration, messages *int) {
	t.Helper()
	var err error
	if v := os.Getenv("POSTROAD_FAULTS_KINDS"); v != "" {
		if plan.Kinds, err = faults.ParseKinds(v); err != nil {
			t.Fatalf("POSTROAD_FAULTS_KINDS: %v", err)
		}
	}
	if v := os.Getenv("POSTROAD_FAULTS_STEPS"); v != "" {
		if plan.Steps, err = strconv.Atoi(v); err != nil {
			t.Fatalf("POSTROAD_FAULTS_STEPS: %v", err)
		}
	}
	if v := os.Getenv("POSTROAD_FAULTS_FOR"); v != "" {
		if *span, err = time.ParseDuration(v); err != nil {
			t.Fatalf("POSTROAD_FAULTS_FOR: %v", err)
		}
		*messages = 0
	}
}

func withSteps(o faults.PlanOptions, n int) faults.PlanOptions {
	o.Steps = n
	return o
}

// logs are the ends of what the nodes wrote.
func (r *run) logs() string {
	var b strings.Builder
	for _, n := range r.Cluster.Nodes() {
		fmt.Fprintf(&b, "--- %s\n%s", n.Name, n.Log())
	}
	return b.String()
}

// state is what a living node says of the cluster, for people.
func (r *run) state() string {
	out := "no node is up"
	for _, n := range r.Cluster.Live() {
		var err error
		if out, err = n.Run(r.ctx, "cluster", "status"); err == nil {
			break
		}
		out = fmt.Sprintf("%s: %v\n%s", n.Name, err, out)
	}
	return out
}

// injects reports whether the program lets its disk be spoilt: a build with the tag faults says so.
func injects(t *testing.T) bool {
	t.Helper()
	return faults.Injects(binary(t, "faults"))
}

// TestFaultsOfTheDisk: a disk that hangs, is full, or fails an fsync takes its node out of the game
// and nothing with it.
func TestFaultsOfTheDisk(t *testing.T) {
	if !injects(t) {
		need(t, faults.ErrNoInjection)
	}
	kinds := []faults.Kind{faults.Fsync, faults.Power}
	if long() {
		kinds = append(kinds, faults.Full, faults.Stall)
	}
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			r := startRun(t, runOptions{Nodes: 3, Seed: faultSeed(t), Tags: "faults", MaxSize: 32 << 10, Interval: 5 * time.Millisecond})
			r.flows(100)
			step := faults.Step{Kind: kind, For: 10 * time.Second}
			if err := r.Driver.Do(r.ctx, step); err != nil {
				t.Fatalf("%v: %v\n%s", step, err, r.logs())
			}
			r.flows(100)
			r.mustBeClean()
		})
	}
}

// TestFaultsWithoutMajority: two of three nodes are gone; the third refuses mail with 451 4.3.2,
// says so at /readyz, delivers nothing after its lease, and goes on when one of the others is back.
func TestFaultsWithoutMajority(t *testing.T) {
	r := startRun(t, runOptions{Nodes: 3, Seed: faultSeed(t), Interval: 5 * time.Millisecond})
	r.flows(100)
	nodes := r.Cluster.Nodes()
	step := faults.Step{Kind: faults.Partition, Node: 0, Sides: []int{0}, State: faults.Stalled, For: 10 * time.Second}
	r.Driver.Act = func(faults.Step, []*faults.Node) {
		eventually(t, 10*time.Second, func() bool { _, ok := nodes[0].Ready(r.ctx); return !ok },
			func() string { return nodes[0].Name + " has no majority and is ready all the same" })
		why, _ := nodes[0].Ready(r.ctx)
		t.Logf("%s is not ready: %s", nodes[0].Name, why)
		r.mustRefuse(nodes[0]) // a client that comes now: all those of the load may be waiting for an answer that nobody can know
		r.flows(50)            // at the others
	}
	if err := r.Driver.Do(r.ctx, step); err != nil {
		t.Fatalf("%v\n%s", err, r.logs())
	}
	r.flows(100)
	r.mustBeClean()
}

// TestFaultsOrphansMove: the node that leads the busiest group is killed; what it had accepted is
// delivered by others within five seconds.
func TestFaultsOrphansMove(t *testing.T) {
	r := startRun(t, runOptions{Nodes: 3, Seed: faultSeed(t), Interval: 5 * time.Millisecond})
	r.World.Answer(faults.Slow(100 * time.Millisecond)) // so that it leaves something behind
	r.flows(200)
	victim, err := r.Cluster.Busiest(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	step := faults.Step{Kind: faults.Kill, Node: indexOf(r.Cluster.Nodes(), victim), For: 8 * time.Second}
	r.Driver.Act = func(faults.Step, []*faults.Node) {
		orphans := faults.FindOrphans(r.World, r.Load.Tries(), victim.Number, time.Now())
		ctx, cancel := context.WithTimeout(r.ctx, 30*time.Second)
		defer cancel()
		took, ok := orphans.AwaitFirst(ctx, r.World)
		if t.Logf("%d orphans; the first moved after %v", orphans.Count, took); !ok || took > 5*time.Second {
			t.Errorf("orphaned messages must move again within 5 s")
		}
	}
	if err := r.Driver.Do(r.ctx, step); err != nil {
		t.Fatal(err)
	}
	r.World.Answer(nil)
	r.mustBeClean()
}

func indexOf(nodes []*faults.Node, n *faults.Node) int {
	for i := range nodes {
		if nodes[i] == n {
			return i
		}
	}
	return -1
}
