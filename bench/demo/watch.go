package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
)

// keepRunning keeps the nodes and a little mail running until ctx ends. A node that is killed is
// started again after a while, as a service manager does.
func (d *demo) keepRunning(ctx context.Context) {
	d.invite()
	first := d.load
	watch, err := faults.StartLoad(ctx, faults.LoadOptions{
		Servers: d.cluster.Servers, Connections: d.nodes,
		Interval: time.Duration(d.nodes) * time.Second / watchRate,
		Message:  d.generator("watch").Message,
	})
	if err != nil {
		d.say("%v", err)
		return
	}
	defer func() { watch.Stop(); watch.Wait(); d.load = first.With(watch) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	down := map[int]time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, n := range d.cluster.Nodes() {
			d.attend(n, down)
		}
		if d.live {
			d.say("%6d accepted, %6d delivered", first.Accepted()+watch.Accepted(),
				d.world.Sink.Accepted())
		}
	}
}

// invite says what can be tried.
func (d *demo) invite() {
	config := d.configs()[0]
	fmt.Fprintf(d.out, `
The nodes keep running, with %d messages a second. Try, in another terminal:
    %[2]s cluster status --config %[3]s
    %[2]s queue list --config %[3]s
    kill -KILL %[4]d      (the node is started again after %[5]v)
Ctrl-C ends it and prints the report.

`, watchRate, d.program, config, d.cluster.Node(1).PID(), restartAfter)
}

const restartAfter = 5 * time.Second

// attend notes that a node has gone down, and starts it again.
func (d *demo) attend(n *faults.Node, down map[int]time.Time) {
	since, known := down[n.Number]
	switch {
	case n.Up():
		delete(down, n.Number)
	case !known:
		down[n.Number] = time.Now()
		d.say("%s has ended", n.Name)
		// It was gone within the second before this was seen.
		d.faults = append(d.faults, faults.Fault{Kind: faults.Kill, What: n.Name + " ended",
			From: time.Now().Add(-time.Second), Lost: []int{n.Number}})
	case time.Since(since) >= restartAfter:
		d.say("%s is started again", n.Name)
		if err := n.Start(); err != nil {
			d.say("%v", err)
		}
		delete(down, n.Number)
	}
}
