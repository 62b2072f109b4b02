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
	Kill       Kind = iota // SIGKILL and start again
	Pause                  // SIGSTOP and SIGCONT
	Restart                // SIGTERM and start again: no fault, and so nothing may be duplicated
	Partition              // a node, or a part of them, cannot talk with the others
	OneWay                 // a node hears the others and is not heard, or the other way round
	Pair                   // two nodes cannot talk with each other
	KillAll                // SIGKILL of all at once
	Replace                // SIGKILL, the data wiped, a new node in the place
	Stall                  // a disk that hangs
	Full                   // a disk without space
	Fsync                  // an fsync that fails
	Power                  // all nodes lose power: what is not on stable storage is gone
	Flip                   // a bit of a stopped node's data is another
	Shorten                // the end of a file of a stopped node is missing
	Blank                  // a file of a stopped node is empty
	Missing                // a file of a stopped node is gone
	Rollback               // all data of a stopped node are as they were a while ago
	Emptied                // the data of a stopped node are gone, and it begins again
	FullStart              // a node starts on a full disk, which gets room later
	FullJoin               // a node joins, and its disk is full for a while
	Newborn                // a node joins and loses power in its first seconds
	MidJoin                // a process is stopped in the middle of a join
	MidState               // the same while a state is taken over
	MidReplace             // the same while a node is replaced
	MidRemove              // the same while a node is drained and removed
	MidMove                // the same while a shard of the mailboxes moves
	kinds
	Still = kinds // the machine stands still: nobody does that, and no plan has it
)

var kindNames = [...]string{"kill", "pause", "restart", "partition", "one-way", "pair", "kill-all",
	"replace", "stall", "full", "fsync", "power", "flip", "shorten", "blank", "missing", "rollback",
	"emptied", "full-start", "full-join", "newborn", "mid-join", "mid-state", "mid-replace",
	"mid-remove", "mid-move", "still"}

func (k Kind) String() string { return kindNames[k] }

// needsCluster: not for one node. needsInjection: only for a program that was built with the tag
// `faults`.
func (k Kind) needsCluster() bool {
	return k >= Flip && k != FullStart && k < kinds ||
		k == Partition || k == OneWay || k == Pair || k == Replace
}
func (k Kind) needsInjection() bool {
	return k == Stall || k == Full || k == Fsync || k == Power ||
		k == FullStart || k == FullJoin || k == Newborn
}

// damages reports whether a kind spoils the data of a stopped node.
func (k Kind) damages() bool { return k >= Flip && k <= Emptied }

// Step is one fault of a schedule. Nodes are counted among those that are in the cluster when it is
// carried out, from 0.
type Step struct {
	Kind  Kind
	Node  int // whom it hits
	Other int // of Pair: the other one
	// of Partition: who is with Node; of Kill, Pause and Replace: all whom it hits, if not Node
	// alone
	Sides []int
	State State         // of Partition, OneWay and Pair: Stalled or Cut
	In    bool          // of OneWay: what comes to Node is held up, else what goes from it
	After time.Duration // of quiet before it
	For   time.Duration // how long it lasts
	Seed  uint64        // of what is chosen later: which file, which octet, which moment
	Clean bool          // of damage and FullStart: the node was told to stop, else killed
	Lag   []int         // of damage: who hears nothing for a while before it
	Away  []int         // of damage: who is killed with the node, and comes back after it
	Dies  bool          // of the Mid kinds: who was stopped is killed, else goes on
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
	if s.Kind.damages() {
		return fmt.Sprintf("%v #%d (clean: %t), lagging %v, away %v",
			s.Kind, s.Node, s.Clean, s.Lag, s.Away)
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

// Plan makes a schedule. The same options make the same one. Every kind comes once before one comes
// again, so that short schedules are varied too.
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
		r.Shuffle(len(possible), func(i, j int) {
			possible[i], possible[j] = possible[j], possible[i]
		})
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
	if k >= Flip {
		s.Seed, s.Clean, s.Dies = r.Uint64(), r.IntN(4) == 0, r.IntN(2) == 0
	}
	if k.damages() {
		s.beside(r, o)
	}
	if k >= MidJoin {
		s.For = between(r, 1, 10)
	}
	if o.Nodes > 1 {
		s.Other = (s.Node + 1 + r.IntN(o.Nodes-1)) % o.Nodes
	}
	return s
}

// beside chooses how the others are while a node's data are damaged: whole, or as many lag or are
// away as may be lost, or both. Who began the cluster is emptied more often than another.
func (s *Step) beside(r *rand.Rand, o PlanOptions) {
	s.For = between(r, 2, 20)
	if o.Brief {
		s.After, s.For = between(r, 0, 2), between(r, 1, 3)
	}
	if s.Kind == Emptied && r.IntN(2) == 0 {
		s.Node = 0
	}
	var others []int
	for _, k := range r.Perm(o.Nodes) {
		if k != s.Node {
			others = append(others, k)
		}
	}
	half := len(others) / 2
	how := r.IntN(4)
	if how == 1 || how == 3 {
		s.Lag = others[:half]
	}
	if how == 2 || how == 3 {
		s.Away = others[half:]
	}
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
	return time.Duration(
		from)*time.Second + time.Duration(r.Int64N(int64(to-from)*int64(time.Second)))
}

// Describe lists a schedule.
func Describe(plan []Step) string {
	var b strings.Builder
	for i, s := range plan {
		fmt.Fprintf(&b, "%3d  after %4.1f s  %v for %.1f s\n", i+1, s.After.Seconds(), s,
			s.For.Seconds())
	}
	return b.String()
}

// ParseKinds reads names of kinds with commas between them, as in "kill,one-way".
func ParseKinds(text string) (list []Kind, err error) {
	for name := range strings.SplitSeq(text, ",") {
		i := slices.Index(kindNames[:kinds], strings.TrimSpace(name))
		if i < 0 {
			return nil, fmt.Errorf("%q is no kind of fault; they are %s", name,
				strings.Join(kindNames[:kinds], ", "))
		}
		list = append(list, Kind(i))
	}
	return list, nil
}
