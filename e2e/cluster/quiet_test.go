package cluster

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/confine"
)

// TestQuietUnderLoad has three nodes with a little mail beside processes that take all the CPU
// there is, 20 of them: no group may change its leader but where the machine stood still. It takes
// 30 minutes, or what -timeout leaves.
func TestQuietUnderLoad(t *testing.T) {
	kit.Measures(t)
	busy, last := 20, 30*time.Minute
	if end, ok := t.Deadline(); ok {
		// a start and an end beside them take their time
		last = min(last, time.Until(end)-2*time.Minute)
	}
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: 11, Clients: 3, Interval: time.Second})
	for range busy {
		spin(t)
	}
	ctx, cancel := context.WithTimeout(r.Ctx, last)
	defer cancel()
	terms, looked := termsOf(r, nil), time.Now()
	elections, unexplained := 0, 0
	for ctx.Err() == nil {
		sleep(ctx, 10*time.Second)
		from := looked
		looked = time.Now()
		next := termsOf(r, terms)
		for group, term := range next {
			if term == terms[group] {
				continue
			}
			elections++
			stood := false
			for _, s := range r.Driver.Stops() {
				stood = stood || s.Until.After(from.Add(-2*time.Second)) && s.From.Before(looked)
			}
			t.Logf(
				"group %d: term %d, was %d, between %s and %s; the machine stood still: %v",
				group,
				term,
				terms[group],
				from.Format(time.TimeOnly),
				looked.Format(time.TimeOnly),
				stood,
			)
			if !stood {
				unexplained++
			}
		}
		terms = next
	}
	t.Logf(
		"%d elections in %v beside %d busy processes, %d of them unexplained; the machine stood "+
			"still %d times for 0.3 s and more",
		elections,
		last,
		busy,
		unexplained,
		len(r.Driver.Stops()),
	)
	if unexplained > 0 {
		t.Error("a group changed its leader for nothing")
	}
}

// termsOf are the terms of all groups; those that have no leader just now keep the one before.
func termsOf(r *kit.Run, before map[uint64]uint64) map[uint64]uint64 {
	r.T.Helper()
	terms := map[uint64]uint64{}
	for group, term := range before {
		terms[group] = term
	}
	s, err := r.Cluster.Status(r.Ctx)
	if err != nil {
		r.T.Logf("terms: %v", err)
		return terms
	}
	for _, g := range s.Groups {
		if g.Leader != "" {
			terms[g.ID] = g.Term
		}
	}
	return terms
}

// spin runs a process that takes what CPU it gets, until the test ends.
func spin(t *testing.T) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := confine.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}
