package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/clock"
)

// This file stops processes, fills disks and takes the power away in the middle of something. The
// moment is told by what the node logs, by what goes over the network, or by the cluster's state.

// momentLimit is how long such a moment is waited for; then it comes all the same.
const momentLimit = 20 * time.Second

// visit lets a node join, has something happen meanwhile, and lets a node go again: this one or
// another.
func (d *Driver) visit(ctx context.Context, s Step, nodes []*Node) error {
	r := rand.New(rand.NewPCG(s.Seed, uint64(s.Kind)))
	if s.Kind == MidMove {
		if err := d.haveMailboxes(ctx); err != nil {
			return err
		}
	}
	guest, err := d.Cluster.place()
	if err == nil {
		err = d.Cluster.configure(guest, append(d.Cluster.Live(), guest))
	}
	if err != nil {
		return err
	}
	if err := d.arrive(ctx, s, r, guest, nodes); err != nil {
		return err
	}
	if err := d.tend(ctx); err != nil {
		return err
	}
	all := d.Cluster.Nodes()
	return d.leave(ctx, s, r, all[r.IntN(len(all))])
}

// amid says in the middle of what a process is stopped.
var amid = map[Kind]string{MidJoin: "a join", MidState: "a state's way", MidMove: "a shard's move"}

// arrive starts the guest, and does what is to happen meanwhile.
func (d *Driver) arrive(
	ctx context.Context, s Step, r *rand.Rand, guest *Node, nodes []*Node,
) error {
	if s.Kind == FullJoin && r.IntN(4) == 0 { // full from the start
		if err := guest.Inject(DiskFull); err != nil {
			return err
		}
	}
	if s.Kind == MidState {
		d.Cluster.Net.Slow(guest.Number, 256<<10)
		defer d.Cluster.Net.Slow(guest.Number, 0)
	}
	octets := d.Cluster.Net.After(guest.Number, 1<<(8+r.IntN(13))+r.IntN(1<<10))
	if err := guest.Start(); err != nil {
		return err
	}
	switch s.Kind {
	case MidState:
		d.moment(ctx, logs(guest, "taking over the state"))
	case MidMove:
		d.moment(ctx, d.shardMoves)
	case MidRemove: // it is to be whole before
		return nil
	default:
		d.moment(ctx, func(done <-chan struct{}) bool { return first(octets, done) })
	}
	victim := guest
	if s.Kind != FullJoin && s.Kind != Newborn && r.IntN(2) == 0 {
		victim = nodes[r.IntN(len(nodes))]
	}
	switch s.Kind {
	case FullJoin:
		return d.fullWhile(ctx, s, guest)
	case Newborn:
		return d.powerless(guest)
	}
	return d.stopped(ctx, s, victim, amid[s.Kind])
}

// moment waits for something to happen, and says when it did not.
func (d *Driver) moment(ctx context.Context, what func(done <-chan struct{}) bool) {
	ctx, cancel := context.WithTimeout(ctx, momentLimit)
	defer cancel()
	if !what(ctx.Done()) {
		d.say("   the moment did not come within %v", momentLimit)
	}
}

// logs is the moment when a node logs a text.
func logs(n *Node, text string) func(<-chan struct{}) bool {
	return func(done <-chan struct{}) bool { return n.awaitLog(text, done) }
}

func first(event, done <-chan struct{}) bool {
	select {
	case <-event:
		return true
	case <-done:
		return false
	}
}

// stopped stops a process for a while; then it goes on, or is killed and started again.
func (d *Driver) stopped(ctx context.Context, s Step, n *Node, midst string) error {
	how := "SIGCONT"
	if s.Dies {
		how = "SIGKILL"
	}
	if n.dead() {
		return nil // tend looks after it
	}
	what := fmt.Sprintf("SIGSTOP %s in the middle of %s, then %s", n.Name, midst, how)
	at, err := d.begin(s.Kind, what, func() error { n.Pause(); return nil })
	if err != nil {
		return err
	}
	clock.Pause(ctx, s.For)
	if !s.Dies {
		n.Resume()
	} else {
		n.Kill()
		err = n.Start()
	}
	d.over(at)
	return err
}

// fullWhile fills the guest's disk for a while.
func (d *Driver) fullWhile(ctx context.Context, s Step, guest *Node) error {
	what := "disk of " + guest.Name + ", which joins: " + string(DiskFull)
	at, err := d.begin(s.Kind, what, func() error { return d.spoil(guest, DiskFull) })
	if err != nil {
		return err
	}
	if d.withoutRoom(ctx, s, guest) {
		d.say("   %s ended on its full disk with %d", guest.Name, guest.ExitStatus())
	}
	delete(d.sick, guest.Number)
	d.over(at)
	return guest.Inject(DiskFine)
}

// powerless takes the power from the guest.
func (d *Driver) powerless(guest *Node) error {
	at, err := d.begin(Newborn, "loss of power of "+guest.Name+", which joins", func() error {
		return d.cutPower([]*Node{guest})
	})
	if err != nil {
		return err
	}
	d.over(at)
	return guest.Start()
}

// drainLimit is how long a node may take to be empty, on a machine that does much else.
const drainLimit = 5 * time.Minute

// leave drains a node and removes it, as an operator does: told to at another node, and again until
// it works.
func (d *Driver) leave(ctx context.Context, s Step, r *rand.Rand, n *Node) error {
	done := make(chan error, 1)
	octets := d.Cluster.Net.After(n.Number, 1<<(8+r.IntN(13)))
	remove := func(ctx context.Context) error { return d.remove(ctx, n) }
	go func() { done <- d.insist(ctx, drainLimit, remove) }()
	if s.Kind == MidRemove {
		d.moment(ctx, func(end <-chan struct{}) bool { return first(octets, end) })
		nodes := d.Cluster.Nodes()
		if err := d.stopped(ctx, s, nodes[r.IntN(len(nodes))],
			"the removal of "+n.Name); err != nil {
			return errors.Join(err, <-done)
		}
	}
	if err := <-done; err != nil {
		return fmt.Errorf("removing %s: %w", n.Name, err)
	}
	d.say("   %s has left", n.Name)
	n.Retire()
	_ = n.Terminate() // it may end by itself meanwhile, with the status of those who were removed
	return errors.Join(n.Wipe(), d.tend(ctx))
}

func (d *Driver) remove(ctx context.Context, n *Node) error {
	for _, at := range d.Cluster.Live() {
		if at == n {
			continue
		}
		if !d.isMember(ctx, n) {
			return nil // the command before has worked, and its answer was lost
		}
		if _, err := at.Run(ctx, "cluster", "drain", n.Name, "--timeout", "1m"); err != nil {
			return err
		}
		_, err := at.Run(ctx, "cluster", "remove", n.Name)
		return err
	}
	return errors.New("no other node is up")
}

// midReplace loses a node with its disk, and stops a process while another takes its places.
func (d *Driver) midReplace(ctx context.Context, s Step, hit *Node) error {
	r := rand.New(rand.NewPCG(s.Seed, uint64(s.Kind)))
	lost, err := d.begin(s.Kind, "SIGKILL of "+hit.Name+" and loss of its disk", func() error {
		return lose([]*Node{hit})
	})
	if err != nil {
		return err
	}
	fresh, err := d.Cluster.Add()
	if err != nil {
		return err
	}
	octets := d.Cluster.Net.After(fresh.Number, 1<<(10+r.IntN(13)))
	done := make(chan error, 1)
	go func() { done <- d.giveItsPlaces(ctx, hit, fresh) }()
	d.moment(ctx, func(end <-chan struct{}) bool { return first(octets, end) })
	nodes := d.Cluster.Nodes()
	err = d.stopped(ctx, s, nodes[r.IntN(len(nodes))], "the replacement of "+hit.Name)
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	d.over(lost)
	return d.tend(ctx)
}

// shardMoves is the moment when a shard of the mailboxes is on its way.
func (d *Driver) shardMoves(done <-chan struct{}) bool {
	ctx, cancel := context.WithTimeout(context.Background(), momentLimit)
	defer cancel()
	for {
		if s, err := d.Cluster.Status(ctx); err == nil {
			for _, g := range s.Groups {
				if g.Kind == "mailbox" && len(g.Moves) > 0 {
					return true
				}
			}
		}
		select {
		case <-done:
			return false
		case <-time.After(50 * time.Millisecond): // each question is a roll call of all nodes
		}
	}
}

// haveMailboxes makes the shards of the mailboxes, if there are none.
func (d *Driver) haveMailboxes(ctx context.Context) error {
	s, err := d.Cluster.Status(ctx)
	if err != nil {
		return err
	}
	for _, g := range s.Groups {
		if g.Kind == "mailbox" {
			return nil
		}
	}
	nodes := d.Cluster.Live()
	if len(nodes) == 0 {
		return errors.New("no node is up")
	}
	users := filepath.Join(d.Cluster.o.Dir, "users.csv")
	var b strings.Builder
	b.WriteString("address\n")
	for i := range mailboxes {
		fmt.Fprintf(&b, "u%d@boxes.example\n", i)
	}
	if err := os.WriteFile(users, []byte(b.String()), 0o600); err != nil {
		return err
	}
	if _, err := nodes[0].Run(ctx, "domain", "add", "boxes.example"); err != nil {
		return err
	}
	if _, err := nodes[0].Run(ctx, "user", "import", users); err != nil {
		return err
	}
	return d.tend(ctx)
}

// mailboxes are so many users, who get no mail here: their shards are there to move.
const mailboxes = 100
