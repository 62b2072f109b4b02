package faults

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A machine that stands still stops all nodes at once, as SIGSTOP would: leaders lose their groups
// although nothing was done to them. It happens where many share one machine, so it is noted as a
// fault like those that were meant; a verdict names it. There are two thresholds: what is long
// enough to excuse a further copy, and what is long enough to explain an election.

const (
	stillTick = 20 * time.Millisecond
	// stillNoted is what an owner's lease does not outlast for certain: 0.72 s less a heartbeat's
	// interval of 0.15 s and less a tick.
	stillNoted = 550 * time.Millisecond
	// stillSeen is what may cost a leader its groups, as an election without another cause.
	stillSeen = 300 * time.Millisecond
)

// Stop is a time in which the machine stood still.
type Stop struct{ From, Until time.Time }

// Stops returns when the machine stood still for 0.3 s or longer.
func (d *Driver) Stops() []Stop {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.mu.stops)
}

// Watch notes when the machine stands still, until ctx ends: when this process does, which runs
// beside the nodes.
func (d *Driver) Watch(ctx context.Context) {
	tick := time.NewTicker(stillTick)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		d.stood(last, now)
		last = now
	}
}

// stood notes a time in which this process did nothing, if it was long.
func (d *Driver) stood(from, until time.Time) {
	if until.Sub(from) < stillSeen {
		return
	}
	d.mu.Lock()
	d.mu.stops = append(d.mu.stops, Stop{from, until})
	d.mu.Unlock()
	if until.Sub(from) < stillNoted {
		return
	}
	// The receiving server stood still, too: it takes what was sent before, and what nodes sent
	// that woke up earlier, when it goes on.
	f := Fault{
		Kind: Still, From: from, Until: until, Stuck: true, UnderWay: d.World.UnderWay(),
		What: fmt.Sprintf("the machine stood still for %.2f s", until.Sub(from).Seconds()),
	}
	for _, n := range d.Cluster.Nodes() {
		f.Lost = append(f.Lost, n.Number)
	}
	d.say("%v", &f)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.faults = append(d.mu.faults, f)
}
