package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
)

const (
	demoPatience = 20 * time.Second // nothing arrives for so long: it is over
	moveLimit    = 30 * time.Second // for the first orphaned message
	moveGoal     = 5 * time.Second
	watchRate    = 20 // messages a second while --watch

	// The receiving server takes its time before the kill, until the node has some transactions
	// under way to leave behind, or for hesitateLimit.
	hesitation    = 300 * time.Millisecond
	hesitateFor   = 10
	hesitateLimit = 5 * time.Second
)

// send sends the messages, and kills a node half-way.
func (d *demo) send(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	d.load, err = faults.StartLoad(ctx, faults.LoadOptions{
		Servers: d.cluster.Servers, Connections: demoConnection * d.nodes, Count: d.messages,
		Message: d.generator("demo").Message,
	})
	if err != nil {
		return err
	}
	defer d.tell()()
	if d.nodes > 1 {
		if err := d.killHalfWay(ctx); err != nil {
			d.load.Stop()
			return err
		}
	}
	select {
	case <-d.load.Done():
	case <-ctx.Done():
	}
	return nil
}

// killHalfWay kills the node that leads the busiest group, and starts it again when its messages
// have moved elsewhere.
func (d *demo) killHalfWay(ctx context.Context) error {
	for d.load.Accepted() < d.messages/2 {
		select {
		case <-d.load.Done():
			return nil
		case <-ctx.Done():
			return nil
		case <-time.After(5 * time.Millisecond):
		}
	}
	d.world.Answer(faults.Slow(hesitation))
	victim, err := d.cluster.Busiest(ctx)
	if err != nil {
		return fmt.Errorf("looking for the busiest group: %w", err)
	}
	for end := time.Now().Add(hesitateLimit); d.world.UnderWay()[victim.Number] < hesitateFor &&
		time.Now().Before(end); {
		<-time.After(5 * time.Millisecond)
	}
	f := faults.Fault{Kind: faults.Kill, What: "SIGKILL " + victim.Name,
		UnderWay: d.world.UnderWay(), From: time.Now(), Lost: []int{victim.Number}}
	if d.nodes == 2 { // neither has a majority alone
		f.Lost = []int{1, 2}
	}
	victim.Kill()
	gone := time.Now()
	d.world.Answer(nil)
	orphans := faults.FindOrphans(d.world, d.load.Tries(), victim.Number, gone)
	d.say("%s, which leads the busiest group, is killed: %d messages that it had accepted are "+
		"not delivered yet", victim.Name, orphans.Count)
	err = d.watchOrphans(ctx, orphans, victim)
	f.Until = time.Now()
	d.faults = append(d.faults, f)
	return err
}

// watchOrphans says when the messages of a killed node move again, and starts the node.
func (d *demo) watchOrphans(
	ctx context.Context, orphans *faults.Orphans, victim *faults.Node,
) error {
	if d.nodes > 2 {
		moved, cancel := context.WithTimeout(ctx, moveLimit)
		switch took, ok := orphans.AwaitFirst(moved, d.world); {
		case orphans.Count == 0:
			d.say("nothing was orphaned: the receiving server had everything")
		case !ok:
			d.say("none of the orphaned messages moved within %v", moveLimit)
		case took > moveGoal:
			d.say("the first of the orphaned messages moved after %.2f s, which is more than "+
				"the %v that it should take", took.Seconds(), moveGoal)
		default:
			d.say("the orphaned messages move again after %.2f s", took.Seconds())
		}
		cancel()
	}
	if err := victim.Start(); err != nil {
		return err
	}
	start := time.Now()
	ready, cancel := context.WithTimeout(ctx, demoReady)
	defer cancel()
	if err := victim.AwaitReady(ready); err != nil {
		return err
	}
	d.say("%s is started again, and ready after %.2f s", victim.Name, time.Since(start).Seconds())
	return nil
}

// tell says each second how it goes, on a terminal. The function that it returns ends that.
func (d *demo) tell() (stop func()) {
	if !d.live {
		return func() {}
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.say("%s", d.progress())
			case <-ended:
				return
			}
		}
	}()
	return func() { close(ended); <-done }
}

func (d *demo) progress() string {
	var down []string
	for _, n := range d.cluster.Nodes() {
		if !n.Up() {
			down = append(down, n.Name)
		}
	}
	s := fmt.Sprintf("%6d accepted, %6d delivered, %4d under way", d.load.Accepted(),
		d.world.Sink.Accepted(), underWay(d.world))
	if len(down) > 0 {
		s += "; down: " + strings.Join(down, ", ")
	}
	return s
}

func underWay(w *faults.World) (n int) {
	for _, k := range w.UnderWay() {
		n += k
	}
	return n
}

// settle waits until everything has arrived, and gathers what is known.
func (d *demo) settle(ctx context.Context) (*faults.History, error) {
	tries := d.load.Wait()
	defer d.tell()()
	d.world.Settle(ctx, tries, demoPatience)
	return faults.Collect(ctx, d.cluster, d.world, tries, d.faults)
}

// report prints what became of the messages.
func (d *demo) report(h *faults.History) bool {
	v := faults.Check(h, faults.Rules{})
	fmt.Fprintf(d.out, "\n%v%v", v, v.Faults(h))
	if failures := d.load.Failures(); failures != "" {
		fmt.Fprintf(d.out,
			"what clients met before another node took their message, and how often:\n%s", failures)
	}
	if n := d.load.GaveUp(); n > 0 {
		fmt.Fprintf(d.out, "%d messages were not sent to the end\n", n)
	}
	fmt.Fprintf(d.out,
		"accepted %d messages for %d recipients; delivered %d, lost %d, changed %d, duplicated "+
			"%d (%d of them without a reason)\n",
		v.Messages, v.Acknowledged, v.Delivered, v.Lost.N, v.Changed.N, v.Duplicates+v.Unexcused.N,
		v.Unexcused.N)
	return v.OK() && v.Waiting == 0 && d.load.GaveUp() == 0
}
