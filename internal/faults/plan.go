package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kind is a kind of fault.
type Kind uint8

// The kinds of fault.
const (
	Kill      Kind = iota // SIGKILL and start again
	Pause                 // SIGSTOP and SIGCONT
	Restart               // SIGTERM and start again: no fault, and so nothing may be duplicated
	Partition             // a node, or a part of them, cannot talk with the others
	OneWay                // a node hears the others and is not heard, or the other way round
	Pair                  // two nodes cannot talk with each other
	KillAll               // SIGKILL of all at once
	Replace               // SIGKILL, the data wiped, a new node in the place
	Stall                 // a disk that hangs
	Full                  // a disk without space
	Fsync                 // an fsync that fails
	Power                 // all nodes lose power: what is not on stable storage is gone
	kinds
	Still = kinds // the machine stands still: nobody does that, and no plan has it
)

var kindNames = [...]string{"kill", "pause", "restart", "partition", "one-way", "pair", "kill-all", "replace", "stall", "full", "fsync", "power", "still"}

func (k Kind) String() string { return kindNames[k] }

// needsCluster: not for one node. needsInjection: only for a program that was built with the tag `faults`.
func (k Kind) needsCluster() bool {
	return k == Partition || k == OneWay || k == Pair || k == Replace
}
func (k Kind) needsInjection() bool { return k == Stall || k == Full || k == Fsync || k == Power }

// Step is one fault of a schedule. Nodes are counted among those that are in the cluster when it is carried out, from 0.
type Step struct {
	Kind  Kind
	Node  int           // whom it hits
	Other int           // of Pair: the other one
	Sides []int         // of Partition: who is with Node; of Kill, Pause and Replace: all whom it hits, if not Node alone
	State State         // of Partition, OneWay and Pair: Stalled or Cut
	In    bool          // of OneWay: what comes to Node is held up, else what goes from it
	After time.Duration // of quiet before it
	For   time.Duration // how long it lasts
}

func (s Step) String() string {
	switch s.Kind {
	case KillAll, Power:
		return s.Kind.String()
	case Partition:
		return fmt.Sprintf("partition (%v) of #%d with %v", s.State, s.Node, s.Sides)
	case Pair:
		return fmt.Sprintf("pair (%v) #%d #%d", s.State, s.Node, s.Other)
	case OneWay:
		return fmt.Sprintf("one-way (%v, in: %t) #%d", s.State, s.In, s.Node)
	}
	if len(s.Sides) > 1 {
		return fmt.Sprintf("%v of %v", s.Kind, s.Sides)
	}
	return fmt.Sprintf("%v #%d", s.Kind, s.Node)
}

// PlanOptions say what a schedule is made of.
type PlanOptions struct {
	Seed   uint64
	Nodes  int
	Steps  int
	Kinds  []Kind // default: all that are possible
	Inject bool   // the program was built with the tag `faults`
	Brief  bool   // for short runs: the shortest of each kind
	Losses int    // nodes that may be down, stopped or lost at once; default 1
}

// Plan makes a schedule. The same options make the same one. Every kind comes once before one comes again, so that short
// schedules are varied too.
func Plan(o PlanOptions) []Step {
	r := rand.New(rand.NewPCG(o.Seed, uint64(o.Nodes)))
	var possible []Kind
	for k := range kinds {
		wanted := len(o.Kinds) == 0 || slices.Contains(o.Kinds, k)
		if wanted && (o.Nodes > 2 || !k.needsCluster()) && (o.Inject || !k.needsInjection()) {
			possible = append(possible, k)
		}
	}
	var plan []Step
	for len(plan) < o.Steps && len(possible) > 0 {
		r.Shuffle(len(possible), func(i, j int) { possible[i], possible[j] = possible[j], possible[i] })
		for _, k := range possible {
			plan = append(plan, step(r, k, o))
		}
	}
	return plan[:min(len(plan), o.Steps)]
}

// step chooses the particulars of a fault.
func step(r *rand.Rand, k Kind, o PlanOptions) Step {
	s := Step{Kind: k, Node: r.IntN(o.Nodes), After: between(r, 3, 8), For: between(r, 5, 30)}
	if o.Brief {
		s.After, s.For = between(r, 3, 4), between(r, 5, 6)
	}
	s.State = []State{Stalled, Cut}[r.IntN(2)]
	s.In = r.IntN(2) == 0
	switch k {
	case Kill, KillAll, Power, Replace, Fsync:
		s.For = between(r, 0, 6) // until it is started again
	case Restart:
		s.For = 0
	case Stall:
		if !o.Brief {
			s.For = 30 * time.Second
		}
	case Partition:
		s.Sides = side(r, s.Node, o.Nodes, max(1, (o.Nodes-1)/2))
	}
	if o.Losses > 1 && (k == Kill || k == Pause || k == Replace) {
		s.Sides = side(r, s.Node, o.Nodes, o.Losses)
	}
	if o.Nodes > 1 {
		s.Other = (s.Node + 1 + r.IntN(o.Nodes-1)) % o.Nodes
	}
	return s
}

// side chooses a node and perhaps others, at most so many.
func side(r *rand.Rand, node, nodes, most int) []int {
	all := r.Perm(nodes)
	n := 1 + r.IntN(most)
	with := []int{node}
	for _, k := range all {
		if k != node && len(with) < n {
			with = append(with, k)
		}
	}
	slices.Sort(with)
	return with
}

// between chooses a time from so many seconds to less than so many.
func between(r *rand.Rand, from, to int) time.Duration {
	return time.Duration(from)*time.Second + time.Duration(r.Int64N(int64(to-from)*int64(time.Second)))
}

// Describe lists a schedule.
func Describe(plan []Step) string {
	var b strings.Builder
	for i, s := range plan {
		fmt.Fprintf(&b, "%3d  after %4.1f s  %v for %.1f s\n", i+1, s.After.Seconds(), s, s.For.Seconds())
	}
	return b.String()
}

// ParseKinds reads names of kinds with commas between them, as in "kill,one-way".
func ParseKinds(text string) (list []Kind, err error) {
	for name := range strings.SplitSeq(text, ",") {
		i := slices.Index(kindNames[:kinds], strings.TrimSpace(name))
		if i < 0 {
			return nil, fmt.Errorf("%q is no kind of fault; they are %s", name, strings.Join(kindNames[:kinds], ", "))
		}
		list = append(list, Kind(i))
	}
	return list, nil
}
