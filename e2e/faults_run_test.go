package e2e

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// run is a cluster under load with what stands around it, from its start to the verdict.
type run struct {
	t       *testing.T
	ctx     context.Context
	World   *faults.World
	Cluster *faults.Cluster
	Load    *faults.Load
	Driver  *faults.Driver
	Gen     *mailtest.Generator

	Operators *faults.Operators // nil: none
}

// runOptions are what scenarios vary.
type runOptions struct {
	Nodes    int
	Tags     string // build tags of the binary
	Seed     uint64
	Domains  int // default 5
	MaxSize  int // of messages; default 64 KiB
	Size     int // of all messages; 0: varied
	Extra    string
	Replicas int
	Grows    bool // from one node, which is to have a cluster port
	ByHand   bool // by `cluster token` and `cluster join`: only the first is started
	Apart    bool // the scenario starts the nodes
	Quiet    bool // no load from the start
	Verbs    bool // operators are at work all the time
	POP3     bool // mailboxes are read
	Shards   int  // of the mailboxes
	Clients  int  // connections; default 8 a node
	Interval time.Duration
}

// needClusters skips a scenario that needs several nodes when the program cannot run them.
func needClusters(t *testing.T, program string) {
	t.Helper()
	if err := faults.Clusters(t.Context(), program); err != nil {
		need(t, err)
	}
}

// startRun starts a cluster and, unless it is to be quiet, a load on it.
func startRun(t *testing.T, o runOptions) *run {
	t.Helper()
	program := binary(t, o.Tags)
	if o.Nodes > 1 || o.Grows {
		needClusters(t, program)
	}
	r := &run{t: t, ctx: t.Context()}
	dir, err := os.MkdirTemp(scratch(t), "cluster-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.cleanUp(dir) })
	var domains []string
	for _, d := range []string{"a", "b", "c", "d", "e", "f", "g", "h"}[:orDefault(o.Domains, 5)] {
		domains = append(domains, d+".example")
	}
	world := domains
	if o.Verbs {
		world = append(slices.Clone(domains), faults.HandledDomain, faults.SuspendedDomain)
		o.Extra += soonAgain
	}
	if r.World, err = faults.NewWorld(world...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.World.Close() })
	r.Cluster, err = faults.New(faults.Options{
		Program: program, Dir: dir, Nodes: o.Nodes, DNS: r.World.DNS.Addr(), Port: r.World.Port(), Replicas: o.Replicas, Grows: o.Grows, Extra: o.Extra, POP3: o.POP3,
		ByHand: o.ByHand, Shards: o.Shards,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Cluster.Close() })
	r.Driver = &faults.Driver{Cluster: r.Cluster, World: r.World, Log: func(s string) { t.Log(s) }}
	var watching sync.WaitGroup
	watching.Go(func() { r.Driver.Watch(r.ctx) })
	t.Cleanup(watching.Wait) // its context has ended by then
	r.Gen = &mailtest.Generator{Seed: o.Seed, Run: "f", Domains: domains, MaxSize: orDefault(o.MaxSize, 64<<10), Size: o.Size}
	start := r.Cluster.Start
	if o.ByHand {
		start = func(ctx context.Context) error {
			first := r.Cluster.Node(1)
			return errors.Join(first.Start(), first.AwaitReady(ctx))
		}
	}
	if o.Apart {
		start = func(context.Context) error { return nil }
	}
	r.within(2*time.Minute, "starting", start)
	if !o.Quiet {
		r.load(faults.LoadOptions{Connections: orDefault(o.Clients, 8*o.Nodes), Interval: o.Interval})
	}
	if o.Verbs {
		if r.Operators, err = faults.StartOperators(r.ctx, faults.OperatorsOptions{Cluster: r.Cluster, World: r.World, Seed: o.Seed}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func orDefault(v, d int) int {
	if v == 0 {
		return d
	}
	return v
}

// cleanUp removes the run's folder, or says where it is when the run failed and somebody wants to
// look.
func (r *run) cleanUp(dir string) {
	if r.t.Failed() && os.Getenv("POSTROAD_KEEP") != "" {
		r.t.Logf("data, logs and event logs: %s", dir)
		return
	}
	os.RemoveAll(dir)
}

// load starts clients, all over the cluster unless the options name servers.
func (r *run) load(o faults.LoadOptions) *faults.Load {
	r.t.Helper()
	if o.Servers == nil {
		o.Servers = r.Cluster.Servers
	}
	if o.Message == nil {
		o.Message = r.Gen.Message
	}
	l, err := faults.StartLoad(r.ctx, o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(l.Stop)
	if r.Load == nil {
		r.Load = l
	}
	return l
}

// within does something that has to be done in time.
func (r *run) within(limit time.Duration, what string, do func(context.Context) error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, limit)
	defer cancel()
	if err := do(ctx); err != nil {
		r.t.Fatalf("%s: %v", what, err)
	}
}

// flows waits until so many more messages have been accepted and delivered.
func (r *run) flows(n int) {
	r.t.Helper()
	accepted, delivered := r.Load.Accepted(), r.World.Sink.Accepted()
	eventually(r.t, time.Minute, func() bool { return r.Load.Accepted() >= accepted+n && r.World.Sink.Accepted() >= delivered+n },
		func() string { return "mail does not flow" })
}

// finish ends the load, waits for what is still to come, and judges the run.
func (r *run) finish(patience time.Duration) (*faults.Verdict, *faults.History) {
	r.t.Helper()
	r.Load.Stop()
	tries := r.Load.Wait()
	var verbs []faults.Verb
	if r.Operators != nil {
		var more []faults.Try
		more, verbs = r.Operators.Stop(r.ctx)
		tries = slices.Concat(tries, more)
	}
	r.World.Settle(r.ctx, faults.Awaited(tries, verbs), patience)
	h, v := r.judge(tries, verbs)
	if v.Untrue.N > 0 { // a report that an operator has caused may be on its way still
		<-time.After(reportPatience)
		h, v = r.judge(tries, verbs)
	}
	r.t.Logf("verdict:\n%v%v%v", v, v.Faults(h), r.Driver.Summary(v))
	if f := r.Load.Failures(); f != "" {
		r.t.Logf("what clients met, and how often:\n%s", f)
	}
	return v, h
}

// reportPatience is how long a report may take to be made and to arrive.
const reportPatience = 10 * time.Second

func (r *run) judge(tries []faults.Try, verbs []faults.Verb) (*faults.History, *faults.Verdict) {
	r.t.Helper()
	h, err := faults.Collect(r.ctx, r.Cluster, r.World, tries, r.Driver.Faults(), verbs...)
	if err != nil {
		r.t.Errorf("gathering what is known of the run: %v", err)
	}
	h.Named = r.Driver.Named()
	return h, faults.Check(h, faults.Rules{})
}

// mustBeClean fails the test when the verdict has findings, or mail is left.
func (r *run) mustBeClean() {
	r.t.Helper()
	if v, _ := r.finish(time.Minute); !v.OK() || v.Waiting > 0 {
		r.t.Error("the verdict above must have no findings, and nothing may wait")
	}
}

// command runs a postroad command at a node and returns its output; it must end with 0.
func (r *run) command(n *faults.Node, args ...string) string {
	r.t.Helper()
	out, err := n.Run(r.ctx, args...)
	if err != nil {
		r.t.Fatalf("at %s: %v\n%s", n.Name, err, out)
	}
	return out
}

// status runs a command and returns its exit status.
func (r *run) status(n *faults.Node, args ...string) (int, string) {
	r.t.Helper()
	out, err := n.Run(r.ctx, args...)
	var ce *faults.CommandError
	if errors.As(err, &ce) {
		return ce.Status, out + ce.Stderr
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return 0, out
}
