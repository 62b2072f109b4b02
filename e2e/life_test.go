package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// This file is about the life of a cluster: nodes come, go, are replaced and restarted while mail
// flows. Nothing of it is a fault, but for a replaced node's death, so nothing may arrive twice
// without that.

// life starts a cluster for a scenario of this file.
func life(t *testing.T, o runOptions) *run {
	t.Helper()
	o.Seed, o.MaxSize, o.Interval, o.Clients = 20261123, 32<<10, 10*time.Millisecond, 6
	return startRun(t, o)
}

// rounds is how often a scenario is repeated.
func rounds(brief, longer int) int {
	if long() {
		return longer
	}
	return brief
}

// grow makes a node join, and waits until it has its places.
func (r *run) grow() *faults.Node {
	r.t.Helper()
	start := time.Now()
	n, err := r.Cluster.Add()
	if err != nil {
		r.t.Fatal(err)
	}
	r.within(time.Minute, n.Name+" joins", r.Cluster.AwaitWhole)
	r.t.Logf("%s has joined, and all is whole, after %.1f s", n.Name, time.Since(start).Seconds())
	return n
}

// shrink drains a node, told to at another, and removes it. A client of a drained node must be told
// so, and to try elsewhere.
func (r *run) shrink(n *faults.Node) {
	r.t.Helper()
	at := r.another(n)
	start := time.Now()
	if status, out := r.status(at, "cluster", "drain", n.Name, "--timeout", "1m"); status != 0 {
		r.t.Fatalf("draining %s does not end: %s\n%s\n%s", n.Name, out, r.command(at, "cluster", "status"), r.chronicle())
	}
	r.t.Logf("%s is drained after %.1f s", n.Name, time.Since(start).Seconds())
	if why, ready := n.Ready(r.ctx); ready {
		r.t.Errorf("%s is drained, and ready for mail", n.Name)
	} else {
		r.t.Logf("%s is not ready: %s", n.Name, why)
	}
	r.mustRefuse(n)
	r.command(at, "cluster", "remove", n.Name)
	removed := time.Now()
	if err := n.Terminate(); err != nil && !strings.Contains(err.Error(), "removed from the cluster") {
		r.t.Error(err)
	}
	if took := time.Since(removed); took > 9*time.Second { // a proposal that nobody answers any more holds it up for five
		r.t.Errorf("%s, which was removed, took %v to stop\n%s", n.Name, took, r.chronicle())
	}
	n.Retire()
	r.within(time.Minute, "without "+n.Name, r.Cluster.AwaitWhole)
	r.t.Logf("%s is removed, and all is whole, after %.1f s", n.Name, time.Since(start).Seconds())
}

// chronicle is what the nodes said of themselves, without what they said of mail.
func (r *run) chronicle() string {
	var b strings.Builder
	for _, n := range r.Cluster.All() {
		text, err := os.ReadFile(filepath.Join(n.Dir, "log"))
		if err != nil {
			fmt.Fprintln(&b, err)
		}
		lines := slices.DeleteFunc(strings.SplitAfter(string(text), "\n"), func(l string) bool { return !strings.Contains(l, " postroad[") })
		fmt.Fprintf(&b, "--- %s\n%s", n.Name, strings.Join(lines[max(0, len(lines)-40):], ""))
	}
	return b.String()
}

// another returns a living node other than n.
func (r *run) another(n *faults.Node) *faults.Node {
	r.t.Helper()
	for _, o := range r.Cluster.Live() {
		if o != n {
			return o
		}
	}
	r.t.Fatalf("no node but %s is up", n.Name)
	return nil
}

var tryElsewhere = regexp.MustCompile(`\b(421[ -]|451 4\.3\.2 )`)

// mustRefuse sends a message to a node that takes none: the client must be told 421 or 451 4.3.2,
// and nothing else.
func (r *run) mustRefuse(n *faults.Node) {
	r.t.Helper()
	d, err := mailtest.Dial(r.ctx, mailtest.SendOptions{Addr: n.SMTP, Timeout: 10 * time.Second})
	if err == nil {
		defer d.Close()
		m := r.Gen.Message(1 << 30)
		sent := d.Send(m)
		if len(sent.Accepted) > 0 || len(sent.Refused) > 0 {
			r.t.Errorf("%s, which is to take none, took mail for %v and refused %v", n.Name, sent.Accepted, sent.Refused)
			return
		}
		err = sent.Err
	}
	if err == nil || !tryElsewhere.MatchString(err.Error()) {
		r.t.Errorf("%s, which is to take no mail, told a client %v; want 421 or 451 4.3.2", n.Name, err)
	}
}

// TestLifeJoinDrainRemoveReplace: three nodes become five, one of them dies and is replaced, and
// they become three again, under load.
func TestLifeJoinDrainRemoveReplace(t *testing.T) {
	r := life(t, runOptions{Nodes: 3})
	r.flows(100)
	for range rounds(1, 3) {
		r.grow()
		r.grow()
		r.flows(100)
		nodes := r.Cluster.Nodes()
		if err := r.Driver.Do(r.ctx, faults.Step{Kind: faults.Replace, Node: 1}); err != nil {
			t.Fatalf("%v\n%s", err, r.chronicle())
		}
		r.flows(100)
		r.shrink(nodes[3])
		r.flows(100)
		r.shrink(nodes[0]) // it began the cluster
		r.flows(100)
	}
	if n := r.Load.GaveUp(); n > 0 {
		t.Errorf("%d messages were taken by no node", n)
	}
	r.mustBeClean()
}

// TestLifeFromOneAndBack: one node becomes two, and three, and one again, under load.
func TestLifeFromOneAndBack(t *testing.T) {
	r := life(t, runOptions{Nodes: 1, Grows: true})
	r.flows(50)
	for range rounds(1, 3) {
		for range 2 {
			r.grow()
			r.flows(50)
		}
		for len(r.Cluster.Nodes()) > 1 {
			r.shrink(r.Cluster.Nodes()[0])
			r.flows(50)
		}
	}
	r.mustBeClean()
}

// pinned starts clients for each node, who go nowhere else: who else could say whether a node's
// neighbours are disturbed.
func (r *run) pinned() map[int]*faults.Load {
	loads := map[int]*faults.Load{}
	for _, n := range r.Cluster.Nodes() {
		gen := &mailtest.Generator{Seed: r.Gen.Seed, Run: n.Name, Domains: r.Gen.Domains, MaxSize: r.Gen.MaxSize}
		loads[n.Number] = r.load(faults.LoadOptions{
			Connections: 4, Interval: 10 * time.Millisecond, Tries: 10_000, Message: gen.Message,
			Servers: func() []faults.Server { return []faults.Server{{Number: n.Number, Addr: n.SMTP}} },
		})
	}
	return loads
}

// verdict ends loads and judges all that they did. The drop says which recipients are none of the
// verdict's business.
func (r *run) verdict(loads []*faults.Load, drop func(recipient string) bool, more ...faults.Fault) *faults.Verdict {
	r.t.Helper()
	var tries []faults.Try
	for _, l := range loads {
		l.Stop()
		tries = append(tries, l.Wait()...)
	}
	for i := range tries {
		tries[i].Accepted = slices.DeleteFunc(slices.Clone(tries[i].Accepted), drop)
	}
	r.World.Settle(r.ctx, tries, time.Minute)
	h, err := faults.Collect(r.ctx, r.Cluster, r.World, tries, append(r.Driver.Faults(), more...))
	if err != nil {
		r.t.Errorf("gathering what is known of the run: %v", err)
	}
	v := faults.Check(h, faults.Rules{})
	r.t.Logf("verdict:\n%v%v", v, v.Faults(h))
	if !v.OK() || v.Waiting > 0 {
		r.t.Error("the verdict above must have no findings, and nothing may wait")
	}
	return v
}

// TestLifeRollingRestart: each of three nodes is restarted under load. No client of another node
// sees an error, and nothing arrives twice.
func TestLifeRollingRestart(t *testing.T) {
	r := life(t, runOptions{Nodes: 3, Quiet: true})
	loads := r.pinned()
	accepted := func(node int) int { return loads[node].Accepted() }
	for range rounds(1, 5) {
		for k, n := range r.Cluster.Nodes() {
			before := map[int]string{}
			for i, l := range loads {
				from := accepted(i)
				eventually(t, time.Minute, func() bool { return accepted(i) >= from+20 }, func() string { return fmt.Sprintf("n%d takes no mail", i) })
				before[i] = l.Failures()
			}
			if err := r.Driver.Do(r.ctx, faults.Step{Kind: faults.Restart, Node: k, For: 500 * time.Millisecond}); err != nil {
				t.Fatalf("%v\n%s", err, r.chronicle())
			}
			r.athome(n)
			if took := time.Since(r.Driver.Faults()[len(r.Driver.Faults())-1].Until); took > 6*time.Second {
				t.Logf("%s took %v to be whole\n%s", n.Name, took, r.chronicle())
			}
			for i, l := range loads {
				if now := l.Failures(); i != n.Number && now != before[i] {
					t.Errorf("while %s was restarted, clients of n%d met:\n%s(before it: %q)", n.Name, i, now, before[i])
				}
			}
			t.Logf("clients of %s met:\n%s", n.Name, loads[n.Number].Failures())
		}
	}
	r.verdict([]*faults.Load{loads[1], loads[2], loads[3]}, func(string) bool { return false })
}

// TestLifeAllStop: all nodes are told to stop at once, under load. None waits long for a majority
// that has gone, and nothing is lost. Of what the last ones delivered nobody could take note, so
// that may arrive twice, as after a fault.
func TestLifeAllStop(t *testing.T) {
	t.Parallel()
	r := life(t, runOptions{Nodes: 3})
	var stops []faults.Fault
	for range rounds(1, 5) {
		r.flows(200)
		stops = append(stops, r.stopAll())
		for _, n := range r.Cluster.Nodes() {
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		r.within(time.Minute, "starting again", r.Cluster.AwaitWhole)
		t.Logf("all is whole %.1f s after the start", time.Since(start).Seconds())
	}
	r.flows(100)
	r.verdict([]*faults.Load{r.Load}, func(string) bool { return false }, stops...)
}

// stopAll tells all nodes to stop.
func (r *run) stopAll() faults.Fault {
	f := faults.Fault{Kind: faults.KillAll, What: "stop of all", UnderWay: r.World.UnderWay(), From: time.Now()}
	var all sync.WaitGroup
	for _, n := range r.Cluster.Nodes() {
		f.Lost = append(f.Lost, n.Number)
		all.Go(func() {
			err := n.Terminate()
			if took := time.Since(f.From); err != nil || took > 15*time.Second {
				r.t.Errorf("%s took %v to stop: %v", n.Name, took, err)
			}
		})
	}
	all.Wait()
	f.Until = time.Now()
	return f
}

// athome waits until a restarted node that is ready leads its home group again.
func (r *run) athome(n *faults.Node) {
	r.t.Helper()
	start := time.Now()
	eventually(r.t, 10*time.Second, func() bool {
		s, err := r.Cluster.Status(r.ctx)
		return err == nil && slices.ContainsFunc(s.Groups, func(g faults.Group) bool { return g.Kind == "queue" && g.Home == n.Name && g.Leader == n.Name })
	}, func() string { return n.Name + " does not lead its home group again\n" + r.chronicle() })
	r.t.Logf("%s leads its home group %.1f s after all was whole", n.Name, time.Since(start).Seconds())
}

// total is what `queue count` and the verbs print with --json, as far as it is needed here.
type total struct {
	Messages   int              `json:"messages"`
	Recipients int              `json:"recipients"`
	States     map[string]int   `json:"states"`
	Missing    []map[string]any `json:"missing"`
}

// queue runs a queue command with --json and returns its total.
func (r *run) queue(n *faults.Node, args ...string) (sum total) {
	r.t.Helper()
	out := r.command(n, append(append([]string{"queue"}, args...), "--json")...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &sum); err != nil {
		r.t.Fatalf("queue %v: %v: %q", args, err, out)
	}
	return sum
}

// TestLifeOperators: each node answers for the whole queue, and what is done there is done
// everywhere, with exact totals while mail flows.
func TestLifeOperators(t *testing.T) {
	t.Parallel()
	r := life(t, runOptions{Nodes: 3, Domains: 3})
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
	gen := &mailtest.Generator{Seed: r.Gen.Seed, Run: "later", Domains: []string{"later.example"}, Size: 2 << 10}
	const messages = 90
	few := r.load(faults.LoadOptions{Connections: 9, Count: messages, Message: gen.Message})
	few.Wait()
	domain := []string{"--domain", "later.example"}
	all := func(state string, want int) {
		t.Helper()
		for _, n := range r.Cluster.Nodes() {
			got := r.queue(n, append([]string{"count"}, domain...)...)
			if got.Messages != want || got.Recipients != want || state != "" && got.States[state] != want || len(got.Missing) > 0 {
				t.Errorf("%s counts %+v; want %d, %s", n.Name, got, want, state)
			}
			listed, err := faults.ParseHeld(r.command(n, append([]string{"queue", "list", "--json"}, domain...)...))
			if err != nil || len(listed) != want {
				t.Errorf("%s lists %d messages, %v; want %d", n.Name, len(listed), err, want)
			}
		}
	}
	moved := func(n *faults.Node, want int, args ...string) {
		t.Helper()
		if got := r.queue(n, args...); got.Recipients != want || len(got.Missing) > 0 {
			t.Errorf("%s: %v moved %+v; want %d recipients", n.Name, args, got, want)
		}
	}
	nodes := r.Cluster.Nodes()
	eventually(t, 20*time.Second, func() bool {
		return r.queue(nodes[1], append([]string{"count"}, domain...)...).States["deferred"] == messages
	},
		func() string { return "not all is deferred: " + r.command(nodes[1], "queue", "count") })
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
	r.traces(few.Tries()[messages/2])
	r.flows(100)
	all("held", messages-len(gone))
	r.World.Answer(nil)
	moved(nodes[1], messages-len(gone), append([]string{"release"}, domain...)...)
	moved(nodes[1], 0, "flush", "--state", "held")
	r.command(nodes[2], append([]string{"queue", "flush"}, domain...)...)
	eventually(t, 30*time.Second, func() bool { return r.queue(nodes[0], append([]string{"count"}, domain...)...).Messages == 0 },
		func() string { return "what was released is not delivered" })
	r.verdict([]*faults.Load{r.Load, few}, func(recipient string) bool { return gone[recipient] })
}

// traces: each node tells the same journey of a message that waits.
func (r *run) traces(m faults.Try) {
	r.t.Helper()
	var first string
	for _, n := range r.Cluster.Nodes() {
		got := r.command(n, "trace", m.QueueID)
		for _, want := range []string{m.QueueID, "Reception", "TransientFailure", "450 4.2.0 later", "in the queue     held"} {
			if !strings.Contains(got, want) {
				r.t.Errorf("%s traces %s without %q:\n%s", n.Name, m.QueueID, want, got)
			}
		}
		if first == "" {
			first = got
			r.t.Logf("trace:\n%s", got)
		}
		if by := r.command(n, "trace", "--recipient", m.Accepted[0]); !strings.Contains(by, m.QueueID) {
			r.t.Errorf("%s does not find %s by its recipient:\n%s", n.Name, m.QueueID, by)
		}
	}
}
