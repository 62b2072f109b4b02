package kit

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
)

// FaultSeed is the seed of a fault run: POSTROAD_FAULTS_SEED, or one that is fixed for each
// commit's run to be the same.
func FaultSeed(t *testing.T) (seed uint64) {
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
	LongRun      = 60 * time.Minute
	LongMessages = 1_200_000
	FiveRun      = 30 * time.Minute
	FiveMessages = 400_000
)

// CarryOut carries out a schedule under load and judges what became of the mail. One of manySteps
// ends after a time and a number of messages.
func CarryOut(t *testing.T, plan faults.PlanOptions, span time.Duration, messages int) {
	o := RunOptions{Nodes: plan.Nodes, Tags: "faults", MaxSize: 32 << 10,
		Interval: 5 * time.Millisecond}
	o.Seed, plan.Inject = FaultSeed(t), Injects(t)
	plan.Seed = o.Seed
	if plan.Losses > 1 {
		o.Replicas = 5
	}
	if Long() {
		// enough for the count; the rest of the machine is for the faults
		o.Interval = 20 * time.Millisecond
	}
	if plan.Nodes > 1 {
		o.Shards, o.Verbs = 4, true
	}
	r := StartRun(t, o)
	r.Flows(100)
	for i, start := 0, time.Now(); i < plan.Steps; i++ {
		if plan.Steps == ManySteps && time.Since(start) >= span && r.Load.Accepted() >= messages {
			break
		}
		step := faults.Plan(withSteps(plan, i+1))[i]
		if err := r.Driver.Run(r.Ctx, []faults.Step{step}); err != nil {
			t.Errorf("fault %d: %v\n%s\n%s", i+1, err, r.State(), r.Chronicle())
			r.Finish(time.Minute) // what the steps before have shown is worth to be known
			t.FailNow()
		}
		r.Flows(100)
	}
	r.MustBeClean()
}

// ManySteps are more than the longest run has time for.
const ManySteps = 10_000

// FromEnvironment reads what makes a fault run another one.
func FromEnvironment(t *testing.T, plan *faults.PlanOptions, span *time.Duration, messages *int) {
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

// Injects reports whether the program lets its disk be spoilt: a build with the tag faults says so.
func Injects(t *testing.T) bool {
	t.Helper()
	return faults.Injects(Binary(t, "faults"))
}
