package operators

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// arrivals notes when recipients came to the receiving server, by domain.
type arrivals struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (a *arrivals) step(s *mailtest.Step) mailtest.Action {
	if s.At == mailtest.AtRcpt {
		_, domain, _ := strings.Cut(s.Recipient, "@")
		a.mu.Lock()
		defer a.mu.Unlock()
		a.last[domain] = time.Now()
	}
	return mailtest.Action{}
}

func (a *arrivals) of(domain string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last[domain]
}

// begunBefore is how long a transaction that was begun before a command returned may take to be
// seen.
const begunBefore = 250 * time.Millisecond

// missing is a group that has not acknowledged.
type missing struct {
	Group uint64 `json:"group"`
}

// acknowledged is what suspend and resume print with --json.
type acknowledged struct {
	Groups []struct {
		Group uint64 `json:"group"`
		Index uint64 `json:"index"`
	} `json:"groups"`
	Missing []missing `json:"missing"`
}

// suspends runs suspend or resume and returns its status, its answer and when it returned.
func suspends(
	r *kit.Run, n *faults.Node, args ...string,
) (status int, a acknowledged, at time.Time) {
	r.T.Helper()
	start := time.Now()
	status, out := r.Status(n, append(args, "--json")...)
	at = time.Now()
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&a); err != nil {
		r.T.Fatalf("at %s: %v: %v: %s\n%s", n.Name, args, err, out, r.Chronicle())
	}
	r.T.Logf("%s: %v: status %d after %.2f s, %+v", n.Name, args, status, at.Sub(start).Seconds(),
		a)
	return status, a, at
}

// TestSuspendWhileNodesDie: five nodes under load. What is suspended at one node is begun by none
// after the command has returned, by the next owner of a dead node's mail neither; a group that has
// no leader is named, and obeys when it has one again. After resume everything arrives.
func TestSuspendWhileNodesDie(t *testing.T) {
	t.Parallel()
	r := kit.Life(t, kit.RunOptions{Nodes: 5, Domains: 3})
	seen := &arrivals{last: map[string]time.Time{}}
	r.World.Answer(seen.step)
	nodes := r.Cluster.Nodes()
	silent := func(domain string, since time.Time) {
		t.Helper()
		late := seen.of(domain).Sub(since)
		t.Logf("the last recipient of %s came %.3f s after the command had returned", domain,
			late.Seconds())
		if late > begunBefore {
			t.Errorf("a recipient of %s came %v after it was suspended\n%s", domain, late,
				r.Chronicle())
		}
	}
	r.Flows(100)

	// One with a time ends by itself, and is on no list any more.
	_, _, sinceC := suspends(r, nodes[2], "suspend", "--domain", "c.example", "--reason",
		"for a while", "--for", "3s")
	var again time.Time
	kit.Eventually(t, 20*time.Second, func() bool {
		again = seen.of("c.example")
		return again.Sub(sinceC) > begunBefore
	}, func() string { return "the suspension does not end\n" + r.Chronicle() })
	if d := again.Sub(sinceC); d < 2*time.Second { // the command itself takes a part of the three
		t.Errorf("mail for c.example was begun %v after it was suspended for 3 s", d)
	}
	kit.Eventually(t, 20*time.Second, func() bool {
		return !strings.Contains(r.Command(nodes[4], "suspend", "list"), "c.example")
	},
		func() string { return "what is over is still listed\n" + r.Chronicle() })

	status, a, since := suspends(r, nodes[1], "suspend", "--domain", "A.example", "--reason",
		"for a test")
	if status != 0 || len(a.Groups) != 5 || len(a.Missing) > 0 {
		t.Fatalf("status %d, %+v", status, a)
	}
	r.Flows(100)
	silent("a.example", since)
	for _, n := range nodes {
		if out := r.Command(n, "suspend", "list"); !strings.Contains(out, "a.example") ||
			!strings.Contains(out, "for a test") {
			t.Errorf("%s lists %q", n.Name, out)
		}
	}
	if out := r.Command(nodes[3], "queue", "list", "--domain", "a.example"); !strings.Contains(out,
		"suspended: for a test") {
		t.Errorf("the listing does not tell why:\n%.600s", out)
	}

	// The next owner of a dead node's mail obeys.
	fault := r.Kills(nodes[0])
	led(r, nodes[0])
	r.Flows(50)
	silent("a.example", since)

	// A group without a leader is named.
	lost, second := leaderless(r, nodes[0])
	other := r.Kills(second)
	at := r.Another(second)
	status, a, sinceB := suspends(r, at, "suspend", "--domain", "b.example", "--reason",
		"for a test", "--for", "1h")
	if status != 75 || !slices.Contains(a.Missing, missing{lost}) {
		t.Errorf("status %d, %+v; want 75, and group %d named\n%s", status, a, lost, r.Chronicle())
	}
	if out := r.Command(at, "cluster", "status"); !strings.Contains(out, "2 suspensions in force") {
		t.Errorf("cluster status:\n%s", out)
	}
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	r.Within(time.Minute, "starting "+second.Name, second.AwaitReady)
	other.Until = time.Now()
	led(r, nodes[0])
	r.Flows(50)
	silent("a.example", since)
	silent("b.example", sinceB)

	if err := nodes[0].Start(); err != nil {
		t.Fatal(err)
	}
	r.Within(time.Minute, "starting again", r.Cluster.AwaitWhole)
	fault.Until = time.Now()
	r.Flows(50)
	silent("a.example", since)
	silent("b.example", sinceB)
	more := []faults.Fault{*fault, *other}
	if kit.Long() {
		more = append(more, withoutControl(r, seen))
		silent("a.example", since)
		silent("b.example", sinceB)
	}
	for _, domain := range []string{"a.example", "b.example"} {
		if status, a, _ := suspends(r, nodes[4], "resume", "--domain", domain); status != 0 ||
			len(a.Groups) != 5 {
			t.Errorf("resume %s: status %d, %+v", domain, status, a)
		}
	}
	if status, out := r.Status(nodes[4], "resume", "--domain", "a.example"); status != 65 {
		t.Errorf("resuming what is not suspended: status %d, %s", status, out)
	}
	r.Flows(50)
	r.Verdict([]*faults.Load{r.Load}, func(string) bool { return false }, more...)
}

// withoutControl kills a group's leader, and so many others that the control group has no majority
// and that group has: its next owner waits for the control group's word, and then goes on with what
// the group has acknowledged. Nothing can be suspended meanwhile.
func withoutControl(r *kit.Run, seen *arrivals) faults.Fault {
	r.T.Helper()
	s, err := r.Cluster.Status(r.Ctx)
	if err != nil {
		r.T.Fatal(err)
	}
	g := s.Groups[slices.IndexFunc(s.Groups, func(g faults.Group) bool {
		return g.Kind == "queue"
	})]
	f := faults.Fault{Kind: faults.KillAll, What: "SIGKILL of three", UnderWay: r.World.UnderWay(),
		From: time.Now()}
	var dead, left []*faults.Node
	for _, n := range r.Cluster.Nodes() {
		if n.Name != g.Leader && slices.Contains(g.Voters, n.Name) {
			left = append(left, n)
			continue
		}
		f.Lost = append(f.Lost, n.Number)
		n.Kill()
		dead = append(dead, n)
	}
	kit.Eventually(r.T, 40*time.Second, func() bool {
		return slices.ContainsFunc(left, func(n *faults.Node) bool {
			return strings.Contains(n.Log(), fmt.Sprintf("group %d: which suspensions", g.ID))
		})
	}, func() string {
		return "no next owner of group " + fmt.Sprint(g.ID) + " goes on\n" + r.Chronicle()
	})
	if status, out := r.Status(left[0], "suspend", "--domain", "c.example", "--reason",
		"for a test"); status != 75 {
		r.T.Errorf("suspending without the control group: status %d, %s", status, out)
	}
	before := seen.of("c.example")
	kit.Eventually(r.T, 30*time.Second, func() bool { return seen.of("c.example").After(before) },
		func() string { return "nothing is delivered without the control group\n" + r.Chronicle() })
	for _, n := range dead {
		if err := n.Start(); err != nil {
			r.T.Fatal(err)
		}
	}
	r.Within(time.Minute, "starting three again", r.Cluster.AwaitWhole)
	f.Until = time.Now()
	return f
}

// led waits until the home group of a node, which may be dead, has a leader.
func led(r *kit.Run, home *faults.Node) {
	r.T.Helper()
	kit.Eventually(r.T, 20*time.Second, func() bool {
		s, err := r.Cluster.Status(r.Ctx)
		return err == nil &&
			slices.ContainsFunc(s.Groups, func(g faults.Group) bool {
				return g.Home == home.Name &&
					g.Leader != ""
			})
	}, func() string {
		return "the home group of " + home.Name + " has no leader\n" + r.Chronicle()
	})
}

// leaderless returns the home group of a dead node, and a living voter without which it has no
// majority.
func leaderless(r *kit.Run, dead *faults.Node) (group uint64, next *faults.Node) {
	r.T.Helper()
	s, err := r.Cluster.Status(r.Ctx)
	if err != nil {
		r.T.Fatal(err)
	}
	for _, g := range s.Groups {
		if g.Home != dead.Name {
			continue
		}
		for _, name := range g.Voters {
			if n := r.Cluster.Named(name); n != dead {
				return g.ID, n
			}
		}
	}
	r.T.Fatalf("no group of %s in %+v", dead.Name, s.Groups)
	return 0, nil
}
