package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// byHand makes a cluster of so many nodes by `cluster token` and `cluster join`.
func byHand(t *testing.T, o runOptions) (*run, []*faults.Node) {
	o.ByHand, o.Quiet = true, true
	r := startRun(t, o)
	nodes := r.Cluster.Nodes()
	token := r.token(nodes[0])
	for _, n := range nodes[1:] {
		r.join(n, nodes[0], token)
	}
	r.within(time.Minute, "forming", r.Cluster.AwaitWhole)
	return r, nodes
}

// edit changes a node's configuration, in which old stands once.
func (r *run) edit(n *faults.Node, old, new string) {
	r.t.Helper()
	text, err := os.ReadFile(n.Config)
	if err != nil {
		r.t.Fatal(err)
	}
	if strings.Count(string(text), old) != 1 {
		r.t.Fatalf("%q does not stand once in %s", old, text)
	}
	err = os.WriteFile(n.Config, []byte(strings.Replace(string(text), old, new, 1)), 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
}

// move gives a node that does not run another port for the others.
func (r *run) move(n *faults.Node) {
	r.t.Helper()
	free, err := mailtest.FreeAddrs(n.Host.String(), 1)
	if err != nil {
		r.t.Fatal(err)
	}
	r.edit(n, fmt.Sprintf("listen = %q", n.Listen), fmt.Sprintf("listen = %q", free[0]))
	r.edit(n, fmt.Sprintf("advertise = %q", n.Advertise), fmt.Sprintf("advertise = %q", free[0]))
	n.Listen, n.Advertise = free[0], free[0]
}

// knowsAt waits until a node lists another at its address.
func (r *run) knowsAt(at, n *faults.Node) {
	r.t.Helper()
	out := ""
	eventually(r.t, 10*time.Second, func() bool {
		out, _ = at.Run(r.ctx, "cluster", "status", "--json")
		return strings.Contains(out, n.Advertise)
	}, func() string { return at.Name + " does not list " + n.Advertise + ": " + out })
}

// TestFormingAddressChanges: each node in turn, the founder last, is stopped or killed, and comes
// back at another address. The others know it there, and it is ready within seconds; after the last
// kill nothing that the rows of any node had is true any more.
func TestFormingAddressChanges(t *testing.T) {
	t.Parallel()
	r, nodes := byHand(t, runOptions{Nodes: 3, Seed: 11})
	for i, n := range []*faults.Node{nodes[1], nodes[2], nodes[0]} {
		if i == 1 {
			if err := n.Terminate(); err != nil {
				t.Error(err)
			}
		} else {
			n.Kill()
		}
		r.move(n)
		began := time.Now()
		r.back(n)
		t.Logf("%s is ready at its new address after %.1f s", n.Name, time.Since(began).Seconds())
		for _, other := range nodes {
			r.knowsAt(other, n)
		}
	}
	r.within(time.Minute, "after all have moved", r.Cluster.AwaitWhole)
	for _, n := range nodes {
		n.Kill()
	}
	for _, n := range nodes {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	r.within(20*time.Second, "after all were killed", r.Cluster.AwaitReady)
}

// TestFormingAddressOfTwo: of two nodes one moves, and there is no leader before the other knows
// where to. While nobody answers it says what it waits for.
func TestFormingAddressOfTwo(t *testing.T) {
	t.Parallel()
	r, nodes := byHand(t, runOptions{Nodes: 2, Seed: 12})
	stays, moves := nodes[0], nodes[1]
	old := moves.Advertise
	moves.Kill()
	stays.Kill()
	r.move(moves)
	if err := moves.Start(); err != nil {
		t.Fatal(err)
	}
	count := func() int { return strings.Count(moves.Log(), "and it ") }
	eventually(t, 20*time.Second, func() bool { return count() >= 3 }, func() string {
		return "it does not say that it waits: " + moves.Log()
	})
	if err := stays.Start(); err != nil {
		t.Fatal(err)
	}
	r.within(20*time.Second, "after the move", r.Cluster.AwaitReady)
	r.knowsAt(stays, moves)
	if out := r.command(stays, "cluster", "status"); strings.Contains(out, old) {
		t.Errorf("the old address is still listed: %s", out)
	}
}

// TestFormingAddressTaken: an address at which another member answers is refused, at the join and
// at a start; one that is wrong, but nobody's, is put right by a start with the right one.
func TestFormingAddressTaken(t *testing.T) {
	t.Parallel()
	r := startRun(t, runOptions{Nodes: 3, Seed: 13, ByHand: true, Quiet: true})
	founder, other, fresh := r.Cluster.Node(1), r.Cluster.Node(2), r.Cluster.Node(3)
	token := r.token(founder)
	r.join(other, founder, token)
	r.within(20*time.Second, "joining", other.AwaitReady)
	own := fmt.Sprintf("advertise = %q", fresh.Advertise)
	for _, taken := range []*faults.Node{founder, other} {
		wrong := fmt.Sprintf("advertise = %q", taken.Advertise)
		r.edit(fresh, own, wrong)
		_, err := fresh.Run(r.ctx, "cluster", "join", "--token", token, founder.Advertise)
		var refused *faults.CommandError
		if !errors.As(err, &refused) || refused.Status != 78 ||
			!strings.Contains(refused.Stderr, taken.Advertise+" "+taken.Name+" (member ") {
			t.Errorf("the address of %s: %v", taken.Name, err)
		}
		r.edit(fresh, wrong, own)
	}

	nobodys := `advertise = "127.0.0.1:1"`
	r.edit(fresh, own, nobodys)
	r.join(fresh, founder, token)
	eventually(t, 20*time.Second, func() bool {
		return strings.Contains(fresh.Log(), "has reached this node at 127.0.0.1:1 since")
	}, func() string { return "it does not say that nobody reaches it: " + fresh.Log() })
	fresh.Kill()
	r.edit(fresh, nobodys, own)
	r.back(fresh)
	r.within(time.Minute, "after it was put right", r.Cluster.AwaitWhole)

	other.Kill()
	r.edit(other, fmt.Sprintf("advertise = %q", other.Advertise), fmt.Sprintf("advertise = %q", fresh.Advertise))
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	r.mustBeRefused(other, "at "+fresh.Advertise+" "+fresh.Name+" (member ")
	r.edit(other, fmt.Sprintf("advertise = %q", fresh.Advertise), fmt.Sprintf("advertise = %q", other.Advertise))
	r.back(other)
}

// TestFormingNameChanges: a node's name is part of its membership. Under another it ends with 78,
// and takes part again when the name is put back. One that is alone may be renamed, but not opened
// to others under another name.
func TestFormingNameChanges(t *testing.T) {
	t.Parallel()
	r := startRun(t, runOptions{Nodes: 3, Seed: 14, ByHand: true, Quiet: true})
	founder, other, alone := r.Cluster.Node(1), r.Cluster.Node(2), r.Cluster.Node(3)
	r.join(other, founder, r.token(founder))
	r.back(alone)
	r.within(20*time.Second, "joining", other.AwaitReady)
	for _, change := range []struct {
		n    *faults.Node
		name string
	}{{other, "renamed"}, {other, founder.Name}, {founder, "renamed"}, {alone, "renamed"}} {
		n := change.n
		own, another := fmt.Sprintf("[node]\nname = %q", n.Name), fmt.Sprintf("[node]\nname = %q", change.name)
		back := fmt.Sprintf("Put node.name = %q back", n.Name)
		n.Kill()
		r.edit(n, own, another)
		if n == alone {
			r.back(n)
			_, err := n.Run(r.ctx, "cluster", "token")
			var refused *faults.CommandError
			if !errors.As(err, &refused) || refused.Status != 78 || !strings.Contains(refused.Stderr, back) {
				t.Errorf("a token of a node that was renamed: %v", err)
			}
			continue
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		r.mustBeRefused(n, back)
		r.edit(n, another, own)
		r.back(n)
	}
}
