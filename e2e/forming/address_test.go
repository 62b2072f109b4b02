package forming

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// byHand makes a cluster of so many nodes by `cluster token` and `cluster join`.
func byHand(t *testing.T, o kit.RunOptions) (*kit.Run, []*faults.Node) {
	o.ByHand, o.Quiet = true, true
	r := kit.StartRun(t, o)
	nodes := r.Cluster.Nodes()
	token := r.Token(nodes[0], "--reusable")
	for _, n := range nodes[1:] {
		r.Join(n, nodes[0], token)
	}
	r.Within(time.Minute, "forming", r.Cluster.AwaitWhole)
	return r, nodes
}

// edit changes a node's configuration, in which old stands once.
func edit(r *kit.Run, n *faults.Node, old, new string) {
	r.T.Helper()
	text, err := os.ReadFile(n.Config)
	if err != nil {
		r.T.Fatal(err)
	}
	if strings.Count(string(text), old) != 1 {
		r.T.Fatalf("%q does not stand once in %s", old, text)
	}
	err = os.WriteFile(n.Config, []byte(strings.Replace(string(text), old, new, 1)), 0o600)
	if err != nil {
		r.T.Fatal(err)
	}
}

// move gives a node that does not run another port for the others.
func move(r *kit.Run, n *faults.Node) {
	r.T.Helper()
	free, err := mailtest.FreeAddrs(n.Host.String(), 1)
	if err != nil {
		r.T.Fatal(err)
	}
	edit(r, n, fmt.Sprintf("listen = %q", n.Listen), fmt.Sprintf("listen = %q", free[0]))
	edit(r, n, fmt.Sprintf("advertise = %q", n.Advertise), fmt.Sprintf("advertise = %q", free[0]))
	n.Listen, n.Advertise = free[0], free[0]
}

// knowsAt waits until a node lists another at its address.
func knowsAt(r *kit.Run, at, n *faults.Node) {
	r.T.Helper()
	out := ""
	kit.Eventually(r.T, 10*time.Second, func() bool {
		out, _ = at.Run(r.Ctx, "cluster", "status", "--json")
		return strings.Contains(out, n.Advertise)
	}, func() string { return at.Name + " does not list " + n.Advertise + ": " + out })
}

// TestFormingAddressChanges: each node in turn, the founder last, is stopped or killed, and comes
// back at another address. The others know it there, and it is ready within seconds; after the last
// kill nothing that the rows of any node had is true any more.
func TestFormingAddressChanges(t *testing.T) {
	t.Parallel()
	r, nodes := byHand(t, kit.RunOptions{Nodes: 3, Seed: 11})
	for i, n := range []*faults.Node{nodes[1], nodes[2], nodes[0]} {
		if i == 1 {
			if err := n.Terminate(); err != nil {
				t.Error(err)
			}
		} else {
			n.Kill()
		}
		move(r, n)
		began := time.Now()
		r.Back(n)
		t.Logf("%s is ready at its new address after %.1f s", n.Name, time.Since(began).Seconds())
		for _, other := range nodes {
			knowsAt(r, other, n)
		}
	}
	r.Within(time.Minute, "after all have moved", r.Cluster.AwaitWhole)
	for _, n := range nodes {
		n.Kill()
	}
	for _, n := range nodes {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	r.Within(20*time.Second, "after all were killed", r.Cluster.AwaitReady)
}

// TestFormingAddressOfTwo: of two nodes one moves, and there is no leader before the other knows
// where to. While nobody answers it says what it waits for.
func TestFormingAddressOfTwo(t *testing.T) {
	t.Parallel()
	r, nodes := byHand(t, kit.RunOptions{Nodes: 2, Seed: 12})
	stays, moves := nodes[0], nodes[1]
	old := moves.Advertise
	moves.Kill()
	stays.Kill()
	move(r, moves)
	if err := moves.Start(); err != nil {
		t.Fatal(err)
	}
	count := func() int { return strings.Count(moves.Log(), "and it ") }
	kit.Eventually(t, 20*time.Second, func() bool { return count() >= 3 }, func() string {
		return "it does not say that it waits: " + moves.Log()
	})
	if err := stays.Start(); err != nil {
		t.Fatal(err)
	}
	r.Within(20*time.Second, "after the move", r.Cluster.AwaitReady)
	knowsAt(r, stays, moves)
	if out := r.Command(stays, "cluster", "status"); strings.Contains(out, old) {
		t.Errorf("the old address is still listed: %s", out)
	}
}

// TestFormingAddressTaken: an address at which another member answers is refused, at the join and
// at a start; one that is wrong, but nobody's, is put right by a start with the right one.
func TestFormingAddressTaken(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: 13, ByHand: true, Quiet: true})
	founder, other, fresh := r.Cluster.Node(1), r.Cluster.Node(2), r.Cluster.Node(3)
	token := r.Token(founder, "--uses", "2")
	r.Join(other, founder, token)
	r.Within(20*time.Second, "joining", other.AwaitReady)
	own := fmt.Sprintf("advertise = %q", fresh.Advertise)
	for _, taken := range []*faults.Node{founder, other} {
		wrong := fmt.Sprintf("advertise = %q", taken.Advertise)
		edit(r, fresh, own, wrong)
		_, err := fresh.Run(r.Ctx, "cluster", "join", "--token", token, founder.Advertise)
		var refused *faults.CommandError
		if !errors.As(err, &refused) || refused.Status != 78 ||
			!strings.Contains(refused.Stderr, taken.Advertise+" "+taken.Name+" (member ") {
			t.Errorf("the address of %s: %v", taken.Name, err)
		}
		edit(r, fresh, wrong, own)
	}

	nobodys := `advertise = "127.0.0.1:1"`
	edit(r, fresh, own, nobodys)
	r.Join(fresh, founder, token)
	kit.Eventually(t, 20*time.Second, func() bool {
		return strings.Contains(fresh.Log(), "has reached this node at 127.0.0.1:1 since")
	}, func() string { return "it does not say that nobody reaches it: " + fresh.Log() })
	fresh.Kill()
	edit(r, fresh, nobodys, own)
	r.Back(fresh)
	r.Within(time.Minute, "after it was put right", r.Cluster.AwaitWhole)

	other.Kill()
	edit(r, other, fmt.Sprintf("advertise = %q", other.Advertise),
		fmt.Sprintf("advertise = %q", fresh.Advertise))
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	r.MustBeRefused(other, "at "+fresh.Advertise+" "+fresh.Name+" (member ")
	edit(r, other, fmt.Sprintf("advertise = %q", fresh.Advertise),
		fmt.Sprintf("advertise = %q", other.Advertise))
	r.Back(other)
}

// TestFormingNameChanges: a node's name is part of its membership. Under another it ends with 78,
// and takes part again when the name is put back. One that is alone may be renamed, but not opened
// to others under another name.
func TestFormingNameChanges(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Seed: 14, ByHand: true, Quiet: true})
	founder, other, alone := r.Cluster.Node(1), r.Cluster.Node(2), r.Cluster.Node(3)
	r.Join(other, founder, r.Token(founder))
	r.Back(alone)
	r.Within(20*time.Second, "joining", other.AwaitReady)
	for _, change := range []struct {
		n    *faults.Node
		name string
	}{{other, "renamed"}, {other, founder.Name}, {founder, "renamed"}, {alone, "renamed"}} {
		n := change.n
		own, another := fmt.Sprintf("[node]\nname = %q", n.Name),
			fmt.Sprintf("[node]\nname = %q", change.name)
		back := fmt.Sprintf("Put node.name = %q back", n.Name)
		n.Kill()
		edit(r, n, own, another)
		if n == alone {
			r.Back(n)
			_, err := n.Run(r.Ctx, "cluster", "token")
			var refused *faults.CommandError
			if !errors.As(err, &refused) || refused.Status != 78 ||
				!strings.Contains(refused.Stderr, back) {
				t.Errorf("a token of a node that was renamed: %v", err)
			}
			continue
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		r.MustBeRefused(n, back)
		edit(r, n, another, own)
		r.Back(n)
	}
}
