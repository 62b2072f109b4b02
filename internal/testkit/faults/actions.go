package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/clock"
)

// action says what a step is to people, how it begins and how it ends.
func (d *Driver) action(
	s Step, nodes []*Node, hit *Node,
) (what string, begin func() error, end func(context.Context) error) {
	hits := among(nodes, s, hit)
	switch s.Kind {
	case Kill:
		return "SIGKILL " + names(hits), func() error { each(hits, (*Node).Kill); return nil },
			func(context.Context) error { return startAll(hits) }
	case Pause:
		return "SIGSTOP " + names(hits), func() error { each(hits, (*Node).Pause); return nil },
			func(context.Context) error { each(hits, (*Node).Resume); return nil }
	case Restart:
		return "restart of " + hit.Name, hit.Terminate,
			func(context.Context) error { return hit.Start() }
	case Partition, OneWay, Pair:
		what, begin = d.division(s, nodes, hit)
		return what, begin, func(context.Context) error { d.Cluster.Net.Heal(); return nil }
	case KillAll:
		return "SIGKILL of all", func() error { each(nodes, (*Node).Kill); return nil },
			func(context.Context) error { return startAll(nodes) }
	case Power:
		return "loss of power of all", func() error { return d.cutPower(nodes) },
			func(context.Context) error { return startAll(nodes) }
	case Replace:
		return "SIGKILL of " + names(hits) + " and loss of its disk",
			func() error { return lose(hits) }, func(ctx context.Context) error {
				return d.replaceAll(ctx, hits)
			}
	}
	disk := map[Kind]Disk{Stall: DiskStalls, Full: DiskFull, Fsync: FsyncFails}[s.Kind]
	return fmt.Sprintf("disk of %s: %s", hit.Name, disk),
		func() error { return d.spoil(hit, disk) },
		func(ctx context.Context) error { return d.mend(ctx, hit, disk) }
}

// among are the nodes that a step hits.
func among(nodes []*Node, s Step, hit *Node) (hits []*Node) {
	for i, n := range nodes {
		if n == hit || contains(s.Sides, i) {
			hits = append(hits, n)
		}
	}
	return hits
}

func names(nodes []*Node) string {
	var list []string
	for _, n := range nodes {
		list = append(list, n.Name)
	}
	return strings.Join(list, ", ")
}

// lose ends nodes for good, with their disks.
func lose(nodes []*Node) (err error) {
	each(nodes, (*Node).Kill)
	for _, n := range nodes {
		n.Retire()
		err = errors.Join(err, n.Wipe())
	}
	return err
}

func (d *Driver) replaceAll(ctx context.Context, nodes []*Node) error {
	for _, n := range nodes {
		if _, err := d.Replace(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func each(nodes []*Node, do func(*Node)) {
	done := make(chan struct{})
	for _, n := range nodes { // at once
		go func() { do(n); done <- struct{}{} }()
	}
	for range nodes {
		<-done
	}
}

func startAll(nodes []*Node) (err error) {
	for _, n := range nodes {
		err = errors.Join(err, n.Start())
	}
	return err
}

// division is a partition of some shape.
func (d *Driver) division(s Step, nodes []*Node, hit *Node) (what string, begin func() error) {
	var with, others []int
	for i, n := range nodes {
		if s.Kind == Partition && contains(s.Sides, i) || n == hit {
			with = append(with, n.Number)
		} else {
			others = append(others, n.Number)
		}
	}
	net := d.Cluster.Net
	switch s.Kind {
	case Partition:
		return fmt.Sprintf("partition (%v) of nodes %v from %v", s.State, with, others),
			func() error {
				net.Partition(s.State, with, others)
				return nil
			}
	case Pair:
		other := nodes[s.Other%len(nodes)]
		return fmt.Sprintf("partition (%v) between %s and %s", s.State, hit.Name, other.Name),
			func() error {
				net.Partition(s.State, []int{hit.Number}, []int{other.Number})
				return nil
			}
	}
	way := "from"
	if s.In {
		way = "to"
	}
	return fmt.Sprintf("nothing comes %s %s", way, hit.Name), func() error {
		for _, o := range others {
			from, to := hit.Number, o
			if s.In {
				from, to = o, hit.Number
			}
			net.Set(from, to, Stalled) // a reset would be heard on both sides
		}
		return nil
	}
}

func contains(list []int, v int) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// spoil makes a disk fail.
func (d *Driver) spoil(n *Node, disk Disk) error {
	if d.sick == nil {
		d.sick = map[int]bool{}
	}
	d.sick[n.Number] = true
	return n.Inject(disk)
}

// mend ends what spoil began. A node may, and after a failed fsync must, have ended by itself: it
// is started again.
func (d *Driver) mend(ctx context.Context, n *Node, disk Disk) error {
	if disk == FsyncFails {
		if err := gone(ctx, n); err != nil {
			return fmt.Errorf("an fsync failed, and %s goes on: %w", n.Name, err)
		}
	}
	err := n.Inject(DiskFine)
	delete(d.sick, n.Number)
	if disk == DiskStalls { // it gives a write up after 30 s, and may just have done so
		select {
		case <-n.Gone():
		case <-time.After(time.Second):
		}
	}
	if err == nil && !n.Up() {
		d.say("   %s had ended by itself", n.Name)
		err = n.Start()
	}
	return err
}

// endLimit is how long a node may take to end when it has to.
const endLimit = 30 * time.Second

func gone(ctx context.Context, n *Node) error {
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	select {
	case <-n.Gone():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cutPower ends all nodes and takes back what they had not synced.
func (d *Driver) cutPower(nodes []*Node) (err error) {
	for _, n := range nodes {
		err = errors.Join(err, n.Inject(PowerFails))
	}
	for _, n := range nodes {
		if gerr := gone(context.Background(), n); gerr != nil {
			err = errors.Join(err,
				fmt.Errorf("%s has survived a loss of power (was it built with -tags %s?): %w",
					n.Name, faultsTag, gerr))
		}
		err = errors.Join(err, n.Inject(DiskFine))
		lost, derr := n.DropUnsynced()
		if len(lost) > 0 {
			d.say("   %s: never synced, and empty now: %s", n.Name, strings.Join(lost, ", "))
		}
		if derr != nil {
			d.say("   %s: small files are as they were: %v", n.Name, derr)
		}
	}
	return err
}

// Replace puts a new node in the place of one that is gone for good, as an operator does: it joins,
// and `cluster replace` gives it the other's places.
func (d *Driver) Replace(ctx context.Context, old *Node) (*Node, error) {
	fresh, err := d.Cluster.Add()
	if err != nil {
		return nil, err
	}
	return fresh, d.giveItsPlaces(ctx, old, fresh)
}

// giveItsPlaces gives a node that has joined, or is about to, the places of one that is gone.
func (d *Driver) giveItsPlaces(ctx context.Context, old, fresh *Node) error {
	d.say("   %s joins in the place of %s", fresh.Name, old.Name)
	return d.insist(ctx, d.patience(), func(ctx context.Context) error {
		return d.replace(ctx, old, fresh)
	})
}

// insist has an operator's command run until it ends well or with a status that is final.
func (d *Driver) insist(
	ctx context.Context, limit time.Duration, command func(context.Context) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error // that says more than that the time is up
	for {
		err := command(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(err, last)
		}
		last = err
		var status *CommandError
		if errors.As(err, &status) && !temporary(status.Status) {
			return err
		}
		clock.Pause(ctx, time.Second) // it has not joined yet
	}
}

// temporary tells exit statuses after which trying again may help: no node answers, temporary
// failure, and a node that is not a member yet.
func temporary(status int) bool {
	return status == 69 || status == 75 || status == 64 || status == 65
}

func (d *Driver) replace(ctx context.Context, old, fresh *Node) error {
	for _, n := range d.Cluster.Live() {
		if n != fresh {
			_, err := n.Run(ctx, "cluster", "replace", old.Name, fresh.Name)
			return err
		}
	}
	return errors.New("no node is up")
}
