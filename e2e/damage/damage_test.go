package damage

import (
	"testing"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// TestFaultsDamage spoils the data of stopped nodes, one at a time, while the others are whole, lag
// or are away: a bit, the end of a file, a whole file, all files, or all of them as they were a
// while ago. Nothing acknowledged is lost unless a node stops and names it, and no content is
// another. POSTROAD_LONG=1: 500 times; POSTROAD_FAULTS_STEPS and the other variables of TestFaults
// hold.
func TestFaultsDamage(t *testing.T) {
	plan := faults.PlanOptions{Nodes: 3, Steps: 500, Brief: true, Kinds: []faults.Kind{
		faults.Flip, faults.Shorten, faults.Blank, faults.Missing, faults.Rollback, faults.Emptied,
	}}
	if !kit.Long() {
		plan.Steps = 3
		plan.Kinds = []faults.Kind{faults.Flip, faults.Shorten, faults.MidJoin}
	}
	span, messages := kit.LongRun, 0
	kit.FromEnvironment(t, &plan, &span, &messages)
	kit.CarryOut(t, plan, span, messages)
}
