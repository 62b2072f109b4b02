package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/clock"
)

// alone is how long those that are there may do without who is away, after a damaged node was
// started: long enough to elect each other, if they do.
const alone = 8 * time.Second

// damaged stops a node, spoils its data and starts it again, while others lag or are away.
func (d *Driver) damaged(ctx context.Context, s Step, nodes []*Node, hit *Node) error {
	since := time.Now()
	if s.Kind == Rollback {
		if err := d.copied(ctx, hit); err != nil {
			return err
		}
	}
	caughtUp, err := d.lag(s, pick(nodes, s.Lag))
	if err != nil {
		return err
	}
	clock.Pause(ctx, s.For) // mail that those who lag do not hear of
	away := pick(nodes, s.Away)
	at, err := d.strike(s, hit, away, since)
	if err != nil {
		return errors.Join(err, caughtUp())
	}
	if err := errors.Join(hit.Start(), caughtUp()); err != nil {
		return err
	}
	if err := d.mustNotBegin(s, hit, hit.until(ctx, alone)); err != nil {
		return err
	}
	err = startAll(away)
	d.over(at)
	if err == nil {
		err = d.tend(ctx)
	}
	if err == nil && s.Kind == Emptied && !hit.Retired() {
		err = fmt.Errorf(
			"%s has lost all its data and is in the cluster as if it had not",
			hit.Name,
		)
	}
	return err
}

// copied keeps a copy of a node's data as they are now.
func (d *Driver) copied(ctx context.Context, hit *Node) error {
	at, err := d.begin(
		Kill,
		"SIGKILL "+hit.Name+" for a copy of its data",
		func() error { hit.Kill(); return nil },
	)
	if err == nil {
		err = errors.Join(hit.keep(), hit.Start())
	}
	if err == nil {
		d.over(at)
		err = d.tend(ctx)
	}
	return err
}

// lag keeps nodes from what the others do, until the function that it returns is called.
func (d *Driver) lag(s Step, nodes []*Node) (end func() error, err error) {
	if len(nodes) == 0 {
		return func() error { return nil }, nil
	}
	what, begin := "SIGSTOP ", (*Node).Pause
	if s.State == Cut {
		what, begin = "SIGKILL ", (*Node).Kill
	}
	what += names(nodes) + " to lag behind"
	at, err := d.begin(s.Kind, what, func() error {
		each(nodes, begin)
		return nil
	})
	return func() error {
		defer d.over(at)
		if s.State == Cut {
			return startAll(nodes)
		}
		each(nodes, (*Node).Resume)
		return nil
	}, err
}

// strike ends the node and those who are to be away, and spoils its data.
// Messages that since then only members know that are away may be forgotten.
func (d *Driver) strike(
	s Step, hit *Node, away []*Node, since time.Time,
) (at int, err error) {
	clean := s.Clean && len(s.Lag) == 0 // else who is left may lose its majority by it
	if clean {
		if at, err = d.begin(Restart, "SIGTERM "+hit.Name, hit.Terminate); err != nil {
			return at, err
		}
		d.over(at)
	}
	gone := append([]*Node{hit}, away...)
	if clean {
		gone = away
	}
	what := "data of " + hit.Name + " damaged"
	if len(gone) > 0 {
		what = "SIGKILL " + names(gone) + ", " + what
	}
	detail := ""
	at, err = d.begin(s.Kind, what, func() (err error) {
		each(gone, (*Node).Kill)
		d.spoilt = hit
		detail, err = spoilData(s, hit)
		return err
	})
	if err != nil {
		return at, err
	}
	d.say("   %s", detail)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.faults[at].What += ": " + detail
	if len(s.Lag) > 0 && len(s.Away) > 0 {
		d.mu.faults[at].Forgot = since
	}
	return at, nil
}

// spoilData does to a stopped node's data what a step says.
func spoilData(s Step, n *Node) (string, error) {
	switch s.Kind {
	case Emptied:
		return "all data gone", n.Wipe()
	case Rollback:
		return "all data as they were", n.rollback()
	}
	return n.damage(s.Kind, rand.New(rand.NewPCG(s.Seed, uint64(s.Kind))))
}

// mustNotBegin is asked when a node was started again: one without data must not take mail.
func (d *Driver) mustNotBegin(s Step, hit *Node, ended bool) error {
	if s.Kind != Emptied || ended {
		return nil
	}
	if why, ready := hit.Ready(context.Background()); ready {
		return fmt.Errorf("%s has lost all its data and takes mail under its old name (%s)",
			hit.Name, strings.TrimSpace(why))
	}
	return nil
}

// pick are the nodes with these places in the list.
func pick(nodes []*Node, places []int) (picked []*Node) {
	for _, k := range places {
		picked = append(picked, nodes[k%len(nodes)])
	}
	return picked
}
