package kit

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

// Run is a cluster under load with what stands around it, from its start to the verdict.
type Run struct {
	T       *testing.T
	Ctx     context.Context
	World   *faults.World
	Cluster *faults.Cluster
	Load    *faults.Load
	Driver  *faults.Driver
	Gen     *mailtest.Generator

	Operators *faults.Operators // nil: none
}

// RunOptions are what scenarios vary.
type RunOptions struct {
	Nodes    int
	Tags     string // build tags of the binary
	Seed     uint64
	Domains  int // default 5
	MaxSize  int // of messages; default 64 KiB
	Size     int // of all messages; 0: varied
	Extra    string
	Replicas int
	Grows    bool          // from one node, which is to have a cluster port
	ByHand   bool          // by `cluster token` and `cluster join`: only the first is started
	Apart    bool          // the scenario starts the nodes
	Quiet    bool          // no load from the start
	Verbs    bool          // operators are at work all the time
	POP3     bool          // mailboxes are read
	Shards   int           // of the mailboxes
	Clients  int           // connections; default 8 a node
	Interval time.Duration // of each client; in the short form see Pace
	Busy     bool          // as much mail in the short form as in the long one
}

// NeedClusters skips a scenario that needs several nodes when the program cannot run them.
func NeedClusters(t *testing.T, program string) {
	t.Helper()
	if err := faults.Clusters(t.Context(), program); err != nil {
		Need(t, err)
	}
}

// StartRun starts a cluster and, unless it is to be quiet, a load on it.
func StartRun(t *testing.T, o RunOptions) *Run {
	t.Helper()
	program := Binary(t, o.Tags)
	if o.Nodes > 1 || o.Grows {
		NeedClusters(t, program)
	}
	r := &Run{T: t, Ctx: t.Context()}
	dir, err := os.MkdirTemp(Scratch(t), "cluster-")
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
		o.Extra += SoonAgain
	}
	if r.World, err = faults.NewWorld(world...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.World.Close() })
	r.Cluster, err = faults.New(faults.Options{
		Program: program, Dir: dir, Nodes: o.Nodes, DNS: r.World.DNS.Addr(), Port: r.World.Port(),
		Replicas: o.Replicas, Grows: o.Grows, Extra: o.Extra, POP3: o.POP3,
		ByHand: o.ByHand, Shards: o.Shards,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Cluster.Close() })
	r.Driver = &faults.Driver{Cluster: r.Cluster, World: r.World, Log: func(s string) { t.Log(s) }}
	var watching sync.WaitGroup
	watching.Go(func() { r.Driver.Watch(r.Ctx) })
	t.Cleanup(watching.Wait) // its context has ended by then
	r.Gen = &mailtest.Generator{Seed: o.Seed, Run: "f", Domains: domains,
		MaxSize: orDefault(o.MaxSize, 64<<10), Size: o.Size}
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
	r.Within(2*time.Minute, "starting", start)
	if !o.Quiet {
		clients := orDefault(o.Clients, 8*o.Nodes)
		pace := o.Interval
		if !o.Busy {
			pace = Pace(clients, o.Interval)
		}
		r.StartLoad(faults.LoadOptions{Connections: clients, Interval: pace})
	}
	if o.Verbs {
		if r.Operators,
			err = faults.StartOperators(r.Ctx, faults.OperatorsOptions{Cluster: r.Cluster,
			World: r.World, Seed: o.Seed}); err != nil {
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
func (r *Run) cleanUp(dir string) {
	if r.T.Failed() && os.Getenv("POSTROAD_KEEP") != "" {
		r.T.Logf("data, logs and event logs: %s", dir)
		return
	}
	os.RemoveAll(dir)
}

// briefRate is how many messages a second come in the short form of a scenario in which mail flows
// all the time: some are under way at any moment, and the machine's time is for the nodes that
// come, go and fail.
const briefRate = 120

// Pace is how long each of so many clients waits between its messages: as long as it is said for
// the long form, and in the short one, at least so long that there are briefRate a second.
func Pace(clients int, longer time.Duration) time.Duration {
	if Long() {
		return longer
	}
	return max(longer, time.Duration(clients)*time.Second/briefRate)
}

// StartLoad starts clients, all over the cluster unless the options name servers.
func (r *Run) StartLoad(o faults.LoadOptions) *faults.Load {
	r.T.Helper()
	if o.Servers == nil {
		o.Servers = r.Cluster.Servers
	}
	if o.Message == nil {
		o.Message = r.Gen.Message
	}
	l, err := faults.StartLoad(r.Ctx, o)
	if err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(l.Stop)
	if r.Load == nil {
		r.Load = l
	}
	return l
}

// Within does something that has to be done in time.
func (r *Run) Within(limit time.Duration, what string, do func(context.Context) error) {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx, limit)
	defer cancel()
	if err := do(ctx); err != nil {
		r.T.Fatalf("%s: %v", what, err)
	}
}

// Flows waits until so many more messages have been accepted and delivered.
func (r *Run) Flows(n int) {
	r.T.Helper()
	accepted, delivered := r.Load.Accepted(), r.World.Sink.Accepted()
	Eventually(r.T, time.Minute, func() bool {
		return r.Load.Accepted() >= accepted+n && r.World.Sink.Accepted() >= delivered+n
	},
		func() string { return "mail does not flow" })
}

// SoonAgain has what was put off tried again soon.
const SoonAgain = "[retry]\nschedule = [\"3s\"]\n"

// This file is about the life of a cluster: nodes come, go, are replaced and restarted while mail
// flows. Nothing of it is a fault, but for a replaced node's death, so nothing may arrive twice
// without that.

// Life starts a cluster for a scenario of this file.
func Life(t *testing.T, o RunOptions) *Run {
	t.Helper()
	o.Seed, o.MaxSize, o.Interval, o.Clients = 20261123, 32<<10, 10*time.Millisecond, 6
	return StartRun(t, o)
}
