package faults

import (
	"reflect"
	"slices"
	"testing"
)

// The same seed makes the same schedule, another one another.
func TestPlanIsItsSeeds(t *testing.T) {
	o := PlanOptions{Seed: 7, Nodes: 3, Steps: 40, Inject: true}
	a, b := Plan(o), Plan(o)
	if !reflect.DeepEqual(a, b) || len(a) != 40 {
		t.Errorf("not the same:\n%s\n%s", Describe(a), Describe(b))
	}
	o.Seed = 8
	if reflect.DeepEqual(a, Plan(o)) {
		t.Error("two seeds, one schedule")
	}
}

// A schedule has every kind that is possible and no other; its partitions leave a majority, and its
// nodes exist.
func TestPlanIsPossible(t *testing.T) {
	for nodes := 1; nodes <= 5; nodes++ {
		for _, inject := range []bool{false, true} {
			seen := map[Kind]bool{}
			for _, s := range Plan(PlanOptions{Seed: 1, Nodes: nodes, Steps: 3 * int(kinds),
				Inject: inject}) {
				seen[s.Kind] = true
				if s.Node < 0 || s.Node >= nodes || s.Other < 0 || s.Other >= nodes || nodes > 1 &&
					s.Other == s.Node {
					t.Errorf("%d nodes: %+v", nodes, s)
				}
				if s.Kind == Partition &&
					(2*len(s.Sides) >= nodes || !slices.Contains(s.Sides, s.Node)) {
					t.Errorf("%d nodes: sides %v of %d", nodes, s.Sides, s.Node)
				}
				if s.String() == "" || s.For < 0 || s.After <= 0 {
					t.Errorf("%+v", s)
				}
			}
			for k := range kinds {
				want := (nodes > 2 || !k.needsCluster()) && (inject || !k.needsInjection())
				if seen[k] != want {
					t.Errorf("%d nodes, injection %t: %v is in: %t", nodes, inject, k, seen[k])
				}
			}
		}
	}
	two := false
	for _, s := range Plan(PlanOptions{Seed: 1, Nodes: 5, Steps: 50, Losses: 2,
		Kinds: []Kind{Kill, Pause, Replace}}) {
		two = two || len(s.Sides) == 2
		if len(s.Sides) < 1 || len(s.Sides) > 2 || !slices.Contains(s.Sides, s.Node) {
			t.Errorf("%+v", s)
		}
	}
	if !two {
		t.Error("never two at once")
	}
	if p := Plan(PlanOptions{Seed: 1, Nodes: 3, Steps: 5, Kinds: []Kind{Pause}}); len(p) != 5 ||
		p[4].Kind != Pause {
		t.Error(Describe(p))
	}
}

func TestParseKinds(t *testing.T) {
	if got, err := ParseKinds("kill, one-way,power"); err != nil ||
		!slices.Equal(got, []Kind{Kill, OneWay, Power}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ParseKinds("kill,earthquake"); err == nil {
		t.Error("an unknown kind is taken")
	}
}
