package faults

import (
	"context"
	"fmt"
	"time"
)

// A machine that stands still stops all nodes at once, as SIGSTOP would: leaders lose their groups although nothing was done to them. It happens where
// many share one machine, so it is noted as a fault like those that were meant; a verdict names it.

const (
	stillTick = 20 * time.Millisecond
	// stillNoted is what an owner's lease does not outlast for certain: 0.96 s less a heartbeat's interval of up to 0.24 s.
	stillNoted = 700 * time.Millisecond
)

// Watch notes when the machine stands still, until ctx ends: when this process does, which runs beside the nodes.
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
	if until.Sub(from) < stillNoted {
		return
	}
	f := Fault{Kind: Still, What: fmt.Sprintf("the machine stood still for %.2f s", until.Sub(from).Seconds()), From: from, Until: until, UnderWay: d.World.UnderWay()}
	for _, n := range d.Cluster.Nodes() {
		f.Lost = append(f.Lost, n.Number)
	}
	d.say("%v", &f)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.faults = append(d.mu.faults, f)
}
