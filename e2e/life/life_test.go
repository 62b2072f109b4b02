package life

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

// TestLifeJoinDrainRemoveReplace: three nodes become five, one of them dies and is replaced, and
// they become three again, under load.
func TestLifeJoinDrainRemoveReplace(t *testing.T) {
	r := kit.Life(t, kit.RunOptions{Nodes: 3})
	r.Flows(100)
	for range kit.Rounds(1, 3) {
		r.Grow()
		r.Grow()
		r.Flows(100)
		nodes := r.Cluster.Nodes()
		if err := r.Driver.Do(r.Ctx, faults.Step{Kind: faults.Replace, Node: 1}); err != nil {
			t.Fatalf("%v\n%s", err, r.Chronicle())
		}
		r.Flows(100)
		r.Shrink(nodes[3])
		r.Flows(100)
		r.Shrink(nodes[0]) // it began the cluster
		r.Flows(100)
	}
	if n := r.Load.GaveUp(); n > 0 {
		t.Errorf("%d messages were taken by no node", n)
	}
	r.MustBeClean()
}

// TestLifeFromOneAndBack: one node becomes two, and three, and one again, under load.
func TestLifeFromOneAndBack(t *testing.T) {
	r := kit.Life(t, kit.RunOptions{Nodes: 1, Grows: true})
	r.Flows(50)
	for range kit.Rounds(1, 3) {
		for range 2 {
			r.Grow()
			r.Flows(50)
		}
		for len(r.Cluster.Nodes()) > 1 {
			r.Shrink(r.Cluster.Nodes()[0])
			r.Flows(50)
		}
	}
	r.MustBeClean()
}

// pinned starts clients for each node, who go nowhere else: who else could say whether a node's
// neighbours are disturbed.
func pinned(r *kit.Run) map[int]*faults.Load {
	loads := map[int]*faults.Load{}
	for _, n := range r.Cluster.Nodes() {
		gen := &mailtest.Generator{Seed: r.Gen.Seed, Run: n.Name, Domains: r.Gen.Domains,
			MaxSize: r.Gen.MaxSize}
		loads[n.Number] = r.StartLoad(faults.LoadOptions{
			Connections: 4, Interval: kit.Pace(12, 10*time.Millisecond), Tries: 10_000,
			Message: gen.Message,
			Servers: func() []faults.Server {
				return []faults.Server{{Number: n.Number, Addr: n.SMTP}}
			},
		})
	}
	return loads
}

// TestLifeRollingRestart: each of three nodes is restarted under load. No client of another node
// sees an error, and nothing arrives twice.
func TestLifeRollingRestart(t *testing.T) {
	r := kit.Life(t, kit.RunOptions{Nodes: 3, Quiet: true})
	loads := pinned(r)
	accepted := func(node int) int { return loads[node].Accepted() }
	for range kit.Rounds(1, 5) {
		for k, n := range r.Cluster.Nodes() {
			from := time.Now()
			before := map[int]string{}
			for i, l := range loads {
				had := accepted(i)
				kit.Eventually(t, time.Minute, func() bool { return accepted(i) >= had+20 },
					func() string { return fmt.Sprintf("n%d takes no mail", i) })
				before[i] = l.Failures()
			}
			if err := r.Driver.Do(r.Ctx, faults.Step{Kind: faults.Restart, Node: k,
				For: 500 * time.Millisecond}); err != nil {
				t.Fatalf("%v\n%s", err, r.Chronicle())
			}
			athome(r, n)
			if took := time.Since(
				r.Driver.Faults()[len(r.Driver.Faults())-1].Until); took > 6*time.Second {
				t.Logf("%s took %v to be whole\n%s", n.Name, took, r.Chronicle())
			}
			for i, l := range loads {
				if now := l.Failures(); i != n.Number && now != before[i] {
					complain := t.Errorf
					if r.StoodStill(from) {
						complain = t.Logf // nodes that hear nothing of each other elect
					}
					complain("while %s was restarted, clients of n%d met:\n%s(before it: %q)",
						n.Name, i, now, before[i])
				}
			}
			t.Logf("clients of %s met:\n%s", n.Name, loads[n.Number].Failures())
		}
	}
	r.Verdict([]*faults.Load{loads[1], loads[2], loads[3]}, func(string) bool { return false })
}

// TestLifeAllStop: all nodes are told to stop at once, under load. None waits long for a majority
// that has gone, and nothing is lost. Of what the last ones delivered nobody could take note, so
// that may arrive twice, as after a fault.
func TestLifeAllStop(t *testing.T) {
	t.Parallel()
	r := kit.Life(t, kit.RunOptions{Nodes: 3})
	var stops []faults.Fault
	for range kit.Rounds(1, 5) {
		r.Flows(200)
		stops = append(stops, stopAll(r))
		for _, n := range r.Cluster.Nodes() {
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		r.Within(time.Minute, "starting again", r.Cluster.AwaitWhole)
		t.Logf("all is whole %.1f s after the start", time.Since(start).Seconds())
	}
	r.Flows(100)
	r.Verdict([]*faults.Load{r.Load}, func(string) bool { return false }, stops...)
}

// stopAll tells all nodes to stop.
func stopAll(r *kit.Run) faults.Fault {
	f := faults.Fault{Kind: faults.KillAll, What: "stop of all", UnderWay: r.World.UnderWay(),
		From: time.Now()}
	var all sync.WaitGroup
	for _, n := range r.Cluster.Nodes() {
		f.Lost = append(f.Lost, n.Number)
		all.Go(func() {
			err := n.Terminate()
			if took := time.Since(f.From); err != nil || took > 15*time.Second {
				r.T.Errorf("%s took %v to stop: %v", n.Name, took, err)
			}
		})
	}
	all.Wait()
	f.Until = time.Now()
	return f
}

// athome waits until a restarted node that is ready leads its home group again.
func athome(r *kit.Run, n *faults.Node) {
	r.T.Helper()
	start := time.Now()
	kit.Eventually(r.T, 10*time.Second, func() bool {
		s, err := r.Cluster.Status(r.Ctx)
		return err == nil &&
			slices.ContainsFunc(s.Groups, func(g faults.Group) bool {
				return g.Kind == "queue" &&
					g.Home == n.Name && g.Leader == n.Name
			})
	}, func() string { return n.Name + " does not lead its home group again\n" + r.Chronicle() })
	r.T.Logf("%s leads its home group %.1f s after all was whole", n.Name,
		time.Since(start).Seconds())
}

// total is what `queue count` and the verbs print with --json, as far as it is needed here.
type total struct {
	Messages   int              `json:"messages"`
	Recipients int              `json:"recipients"`
	States     map[string]int   `json:"states"`
	Missing    []map[string]any `json:"missing"`
}

// queueTotal runs a queue command with --json and returns its total.
func queueTotal(r *kit.Run, n *faults.Node, args ...string) (sum total) {
	r.T.Helper()
	out := r.Command(n, append(append([]string{"queue"}, args...), "--json")...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &sum); err != nil {
		r.T.Fatalf("queue %v: %v: %q", args, err, out)
	}
	return sum
}

// TestLifeOperators: each node answers for the whole queue, and what is done there is done
// everywhere, with exact totals while mail flows.
func TestLifeOperators(t *testing.T) {
	t.Parallel()
	r := kit.Life(t, kit.RunOptions{Nodes: 3, Domains: 3})
	if err := r.World.DNS.AddMX("later.example", "mx.later.example", "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	later := func(s *mailtest.Step) mailtest.Action {
		if s.At == mailtest.AtRcpt && strings.HasSuffix(s.Recipient, "@later.example") {
			return mailtest.Action{Reply: "450 4.2.0 later"}
		}
		return mailtest.Action{}
	}
	r.World.Answer(later)
	gen := &mailtest.Generator{Seed: r.Gen.Seed, Run: "later", Domains: []string{"later.example"},
		Size: 2 << 10}
	const messages = 90
	few := r.StartLoad(faults.LoadOptions{Connections: 9, Count: messages, Message: gen.Message})
	few.Wait()
	domain := []string{"--domain", "later.example"}
	all := func(state string, want int) {
		t.Helper()
		for _, n := range r.Cluster.Nodes() {
			got := queueTotal(r, n, append([]string{"count"}, domain...)...)
			if got.Messages != want || got.Recipients != want || state != "" &&
				got.States[state] != want || len(got.Missing) > 0 {
				t.Errorf("%s counts %+v; want %d, %s", n.Name, got, want, state)
			}
			listed, err := faults.ParseHeld(r.Command(n, append([]string{"queue", "list", "--json"},
				domain...)...))
			if err != nil || len(listed) != want {
				t.Errorf("%s lists %d messages, %v; want %d", n.Name, len(listed), err, want)
			}
		}
	}
	moved := func(n *faults.Node, want int, args ...string) {
		t.Helper()
		if got := queueTotal(r, n, args...); got.Recipients != want || len(got.Missing) > 0 {
			t.Errorf("%s: %v moved %+v; want %d recipients", n.Name, args, got, want)
		}
	}
	nodes := r.Cluster.Nodes()
	kit.Eventually(t, 20*time.Second, func() bool {
		return queueTotal(r, nodes[1],
			append([]string{"count"}, domain...)...).States["deferred"] == messages
	},
		func() string { return "not all is deferred: " + r.Command(nodes[1], "queue", "count") })
	all("deferred", messages)
	moved(nodes[0], messages, append([]string{"hold"}, domain...)...)
	all("held", messages)
	moved(nodes[1], messages, append([]string{"release"}, domain...)...)
	all("", messages)
	moved(nodes[2], messages, append([]string{"hold"}, domain...)...)
	gone := map[string]bool{}
	for i, n := range nodes { // each removes one of each node's
		for j := range nodes {
			m := gen.Message(i*len(nodes) + j)
			moved(n, 1, "remove", "--recipient", m.Recipients[0])
			gone[m.Recipients[0]] = true
		}
	}
	all("held", messages-len(gone))
	traces(r, few.Tries()[messages/2])
	r.Flows(100)
	all("held", messages-len(gone))
	r.World.Answer(nil)
	moved(nodes[1], messages-len(gone), append([]string{"release"}, domain...)...)
	moved(nodes[1], 0, "flush", "--state", "held")
	r.Command(nodes[2], append([]string{"queue", "flush"}, domain...)...)
	kit.Eventually(t, 30*time.Second, func() bool {
		return queueTotal(r, nodes[0], append([]string{"count"}, domain...)...).Messages == 0
	},
		func() string { return "what was released is not delivered" })
	r.Verdict([]*faults.Load{r.Load, few}, func(recipient string) bool { return gone[recipient] })
}

// traces: each node tells the same journey of a message that waits.
func traces(r *kit.Run, m faults.Try) {
	r.T.Helper()
	var first string
	for _, n := range r.Cluster.Nodes() {
		got := r.Command(n, "trace", m.QueueID)
		for _, want := range []string{m.QueueID, "Reception", "TransientFailure", "450 4.2.0 later",
			"in the queue     held"} {
			if !strings.Contains(got, want) {
				r.T.Errorf("%s traces %s without %q:\n%s", n.Name, m.QueueID, want, got)
			}
		}
		if first == "" {
			first = got
			r.T.Logf("trace:\n%s", got)
		}
		if by := r.Command(n, "trace", "--recipient", m.Accepted[0]); !strings.Contains(by,
			m.QueueID) {
			r.T.Errorf("%s does not find %s by its recipient:\n%s", n.Name, m.QueueID, by)
		}
	}
}
