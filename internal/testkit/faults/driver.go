package faults

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/clock"
)

// Driver carries out schedules against a cluster and notes what it did. Faults come one after
// another: each is over, and every node ready again, before the next begins. Its methods may be
// called on any goroutine, Do by one at a time.
type Driver struct {
	Cluster *Cluster
	World   *World
	// how long nodes may take to be ready after a fault; default 90 s
	Patience time.Duration
	Log      func(text string)          // told of each step; nil: nobody is
	Act      func(step Step, n []*Node) // called while a fault is on; nil: nothing

	sick   map[int]bool  // nodes whose disk does not take writes
	ended  map[*Node]int // how often each has ended by itself in this step
	spoilt *Node         // whose data this step damaged

	mu struct {
		sync.Mutex
		faults []Fault
		steps  map[Kind]int
		stops  []Stop
		ends   map[string]int
		named  map[string]bool
	}
}

// Faults returns what was done so far.
func (d *Driver) Faults() []Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.mu.faults)
}

func (d *Driver) say(format string, args ...any) {
	if d.Log != nil {
		d.Log(fmt.Sprintf(format, args...))
	}
}

// Run carries out a schedule. An error says that the cluster did not come back, or ctx ended.
func (d *Driver) Run(ctx context.Context, plan []Step) error {
	for i, s := range plan {
		if !clock.Pause(ctx, s.After) {
			return ctx.Err()
		}
		if err := d.Do(ctx, s); err != nil {
			return fmt.Errorf("fault %d of %d (%v): %w", i+1, len(plan), s, err)
		}
	}
	return nil
}

// Do carries out one fault, and returns when all nodes are ready again.
func (d *Driver) Do(ctx context.Context, s Step) error {
	nodes := d.Cluster.Nodes()
	hit := nodes[s.Node%len(nodes)]
	d.count(s.Kind)
	d.ended, d.spoilt = map[*Node]int{}, nil
	if s.Kind >= Flip {
		d.say("== %v", s)
		return d.script(ctx, s, nodes, hit)
	}
	what, begin, end := d.action(s, nodes, hit)
	at, err := d.begin(s.Kind, what, begin)
	if err != nil {
		return err
	}
	if d.Act != nil {
		d.Act(s, nodes)
	}
	clock.Pause(ctx, s.For) // what was begun is ended also when ctx ends
	if err := end(ctx); err != nil {
		return err
	}
	d.over(at)
	ctx, cancel := context.WithTimeout(ctx, d.patience())
	defer cancel()
	start := time.Now()
	err = d.Cluster.AwaitWhole(ctx)
	d.say("   all is whole again after %.1f s", time.Since(start).Seconds())
	return err
}

func (d *Driver) patience() time.Duration {
	if d.Patience > 0 {
		return d.Patience
	}
	return 90 * time.Second
}

// script carries out a step that is more than something with a beginning and an end.
func (d *Driver) script(ctx context.Context, s Step, nodes []*Node, hit *Node) error {
	switch s.Kind {
	case FullStart:
		return d.fullStart(ctx, s, hit)
	case MidReplace:
		return d.midReplace(ctx, s, hit)
	case FullJoin, Newborn, MidJoin, MidState, MidRemove, MidMove:
		return d.visit(ctx, s, nodes)
	}
	return d.damaged(ctx, s, nodes, hit)
}

// begin makes a fault happen and notes it, with those who lost their ownership by it.
func (d *Driver) begin(kind Kind, what string, do func() error) (at int, err error) {
	f := Fault{Kind: kind, What: what, UnderWay: d.World.UnderWay(), From: time.Now(),
		Stuck: kind == Stall || kind == Full || kind == Fsync || kind == FullStart ||
			kind == FullJoin}
	before := d.able()
	if err := do(); err != nil {
		return 0, err
	}
	after := d.able()
	for n := range before {
		if !after[n] && kind != Restart { // one who leaves in good order hands over what it has
			f.Lost = append(f.Lost, n)
		}
	}
	slices.Sort(f.Lost)
	d.say("%v", &f)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.faults = append(d.mu.faults, f)
	return len(d.mu.faults) - 1, nil
}

func (d *Driver) over(at int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.faults[at].Until = time.Now()
}

// able are the nodes that can own mail: they run, their disk works, and they talk both ways with
// enough others for a majority. A group's members are not known here, so the worst is assumed: that
// those who are out of reach are among them.
func (d *Driver) able() map[int]bool {
	nodes, able := d.Cluster.Nodes(), map[int]bool{}
	replicas := max(3, d.Cluster.o.Replicas)
	well := func(n *Node) bool { return n.Up() && !d.sick[n.Number] }
	for _, n := range nodes {
		away := 0
		for _, m := range nodes {
			if m != n && !(well(m) && d.Cluster.Net.Reaches(n.Number, m.Number) &&
				d.Cluster.Net.Reaches(m.Number, n.Number)) {
				away++
			}
		}
		if well(n) && away < (min(replicas, len(nodes))+1)/2 {
			able[n.Number] = true
		}
	}
	return able
}
