package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/clock"
)

// This file is the operator: a node that ends by itself says why, and gets what its words and its
// exit status ask for.

// The exit statuses that docs give a meaning.
const (
	exitSoftware  = 70
	exitIO        = 74
	exitTemporary = 75
	exitConfig    = 78
)

// restartLimit is how often a service manager starts a node that ends again and again.
const restartLimit = 3

// tend waits until all is whole. Who has ended by itself is heeded.
func (d *Driver) tend(ctx context.Context) error {
	start := time.Now()
	for until := start.Add(d.patience()); ; {
		acted, err := d.heedAll(ctx)
		if err != nil {
			return err
		}
		if acted {
			until = time.Now().Add(d.patience())
			continue
		}
		why := d.notReady(ctx)
		if d.waitsForNobody(why) {
			if err := d.leaveWaiting(ctx); err != nil {
				return err
			}
			until = time.Now().Add(d.patience())
			continue
		}
		if why == "" {
			why = d.Cluster.unfinished(ctx)
		}
		if why == "" {
			d.say("   all is whole again after %.1f s", time.Since(start).Seconds())
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("the cluster is not whole after %v: %s", d.patience(), why)
		}
		if !clock.Pause(ctx, 200*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// notReady names a node that takes no mail, "" when all do.
func (d *Driver) notReady(ctx context.Context) string {
	for _, n := range d.Cluster.Nodes() {
		if why, ok := n.Ready(ctx); !ok {
			return n.Name + " is not ready: " + why
		}
	}
	return ""
}

// heedAll heeds who has ended. Those that are only to be started again come first: others may need
// them.
func (d *Driver) heedAll(ctx context.Context) (acted bool, err error) {
	for _, lost := range []bool{false, true} {
		for _, n := range d.Cluster.Nodes() {
			if !n.dead() || d.isLost(n) != lost {
				continue
			}
			acted = true
			if err := d.heed(ctx, n); err != nil {
				return acted, err
			}
		}
	}
	return acted, nil
}

// isLost reports whether a node's data are of no use any more: its exit status says so, or it was
// damaged, ends each time that it is started and says of nothing else what to do.
func (d *Driver) isLost(n *Node) bool {
	return n.ExitStatus() == exitConfig || d.ended[n] >= restartLimit && d.spoilt == n ||
		d.ended[n] > 0 && keepsWhatIsAtStake(n.Log())
}

// heed does what a node that ended by itself asks for.
func (d *Driver) heed(ctx context.Context, n *Node) error {
	status, words := n.ExitStatus(), lastWords(n.Log())
	lost, stake := d.isLost(n), keepsWhatIsAtStake(n.Log())
	if stake {
		d.name(n.lastLog(tailLimit))
	}
	d.ended[n]++
	d.say("   %s has ended by itself with %d: %s", n.Name, status, words)
	d.noteEnd(status, words)
	switch {
	case strings.Contains(words, "queue salvage"):
		return d.salvage(ctx, n)
	case d.ended[n] <= 1 && toRemove(n, words) != "":
		d.say("   %s is removed, as its words ask for", toRemove(n, words))
		return errors.Join(os.Remove(toRemove(n, words)), n.Start())
	case lost:
		n.Retire()
		if !d.isMember(ctx, n) {
			_, err := d.Cluster.Add()
			return err
		}
		if _, err := d.Replace(ctx, n); err != nil || stake { // its data are to be kept
			return err
		}
		return n.Wipe() // there may be hundreds in a long run
	case status == exitSoftware || status == exitIO || status == exitTemporary:
		if d.ended[n] > restartLimit {
			return fmt.Errorf("%s ends again and again with %d: %s", n.Name, status, words)
		}
		clock.Pause(ctx, time.Second)
		return n.Start()
	}
	return fmt.Errorf("%s has ended with %d, which no document knows: %s", n.Name, status, words)
}

// keepsWhatIsAtStake reports whether a node has stopped since others, whose disks were rolled back,
// lack what it has. It names the messages at its next start, and another takes its places.
func keepsWhatIsAtStake(words string) bool {
	return strings.Contains(words, "disks were rolled back") ||
		strings.Contains(words, "disk that was rolled back")
}

var removals = []*regexp.Regexp{
	regexp.MustCompile(`remove (/\S+?)[,;: ]`),
	regexp.MustCompile(`(/\S+?):? [^\n]*: remove it`),
}

// toRemove is the file of a node's data that its words ask to be removed, "" for none.
func toRemove(n *Node, words string) string {
	for _, r := range removals {
		if m := r.FindStringSubmatch(words); m != nil && strings.HasPrefix(m[1], n.Data+"/") {
			return m[1]
		}
	}
	return ""
}

// waitsForNobody reports whether the node that this step has left without data is not ready because
// it finds none of those whom it is told to join: in a long run all of them may have been replaced.
func (d *Driver) waitsForNobody(why string) bool {
	n := d.spoilt
	if n == nil || !strings.HasPrefix(why, n.Name+" is not ready") ||
		!strings.Contains(why, "waits for a cluster to join") {
		return false
	}
	config, err := os.ReadFile(n.Config)
	return err == nil && !slices.ContainsFunc(d.Cluster.Nodes(), func(other *Node) bool {
		return other != n && strings.Contains(string(config), strconv.Quote(other.Advertise))
	})
}

// leaveWaiting replaces the node that this step has left without data.
func (d *Driver) leaveWaiting(ctx context.Context) error {
	n := d.spoilt
	d.say("   %s waits for nodes that are no more, and is replaced", n.Name)
	n.Kill()
	n.Retire()
	if _, err := d.Replace(ctx, n); err != nil {
		return err
	}
	return n.Wipe()
}

// isMember reports whether the cluster counts a node among its own. Only the node that leads the
// control group can say that it does not: others may lag, or have just started.
func (d *Driver) isMember(ctx context.Context, n *Node) bool {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for ctx.Err() == nil {
		for _, live := range d.Cluster.Live() {
			s, err := live.status(ctx)
			if err != nil {
				continue
			}
			if slices.ContainsFunc(s.Members, func(m Member) bool { return m.Name == n.Name }) {
				return true
			}
			if s.controlLeader() == live.Name {
				return false
			}
		}
		clock.Pause(ctx, time.Second)
	}
	return true // `cluster replace` says more
}

// askTime bounds the wait for a node that can say who is a member.
const askTime = 20 * time.Second

// lastWords are the lines with which a program ended.
func lastWords(log string) string {
	if i := strings.LastIndex("\n"+log, "\npostroad: "); i >= 0 {
		return strings.TrimSpace(log[i:])
	}
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "\n")
}

// dead reports whether the node has no process.
func (n *Node) dead() bool {
	select {
	case <-n.Gone():
		return true
	default:
		return false
	}
}

// until waits until a node has ended, is ready, or time is up, and reports whether it ended.
func (n *Node) until(ctx context.Context, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_ = n.AwaitReady(ctx) // the rest is seen by the caller
	return n.dead()
}

// awaitLog waits until the node's process has written a text; false: done came first.
func (n *Node) awaitLog(text string, done <-chan struct{}) bool {
	n.mu.Lock()
	p := n.mu.p
	n.mu.Unlock()
	return p != nil && p.log.await(text, done)
}
