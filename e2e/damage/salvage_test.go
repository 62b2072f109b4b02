package damage

import (
	"bufio"
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/confine"
	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestSalvage: while n1 lags, mail is accepted by n2 and n3; then n3 goes away, and n2 comes back
// with a disk as of before that. n1 and n2 go on without that mail. When n3 comes back it stops and
// names it, and `postroad queue salvage`, killed twice midway, puts all of it in again: nothing
// acknowledged is lost, what was held is held.
func TestSalvage(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(
		t,
		kit.RunOptions{
			Nodes:   3,
			Domains: 3,
			Seed:    20261130,
			MaxSize: 32 << 10,
			Quiet:   true,
			Extra:   kit.SoonAgain,
		},
	)
	remote := &kit.Refusing{}
	r.World.Answer(remote.Step)
	n1, n2, n3 := r.Cluster.Node(1), r.Cluster.Node(2), r.Cluster.Node(3)
	var tries []faults.Try
	number := 0
	accept := func(n int, at ...*faults.Node) (ids []string) {
		t.Helper()
		from := number
		number += n
		load := r.StartLoad(
			faults.LoadOptions{Connections: 4, Count: n, Message: func(i int) *mailtest.Message {
				if i == 5 {
					return large(r, from+i)
				}
				return r.Gen.Message(from + i)
			}, Servers: func() (all []faults.Server) {
				for _, n := range at {
					all = append(all, faults.Server{Number: n.Number, Addr: n.SMTP})
				}
				return all
			}},
		)
		for _, try := range load.Wait() {
			tries = append(tries, try)
			if len(try.Accepted) > 0 {
				ids = append(ids, try.QueueID)
			}
		}
		return ids
	}
	accept(20, n1, n2, n3)
	fault := faults.Fault{
		Kind:   faults.Rollback,
		What:   "rollback of n2",
		From:   time.Now(),
		Forgot: time.Now(),
		Lost:   []int{1, 2, 3},
	}
	n1.Kill() // it lags from here on
	n2.Kill()
	copyOf := func(from, to string) {
		if out, err := exec.Command("cp", "-a", "--sparse=always", from,
			to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	copyOf(n2.Data, n2.Data+".old")
	start := func(nodes ...*faults.Node) {
		t.Helper()
		for _, n := range nodes {
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range nodes {
			r.Within(time.Minute, n.Name+" comes back", n.AwaitReady)
		}
	}
	start(n2)
	r.Within(time.Minute, "n3 goes on", n3.AwaitReady)
	ids := accept(60, n2, n3)
	held := ids[len(ids)/2]
	kit.Eventually(t, time.Minute, func() bool { // each node's answer says that n1 is missing
		status, out := r.Status(n3, "queue", "hold", held)
		return status == 0 || strings.Contains(out, "held")
	}, func() string { return "nothing is held" })
	n3.Kill()
	n2.Kill()
	if err := n2.Wipe(); err != nil {
		t.Fatal(err)
	}
	copyOf(n2.Data+".old", n2.Data)
	start(n1, n2)
	accept(20, n1, n2)
	// The forgotten past has the higher terms in some groups and not in others; all three start at
	// once, so that n3 stands for election in some of them before it has met a leader.
	n1.Kill()
	n2.Kill()
	for _, n := range []*faults.Node{n1, n2} {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := n3.Start(); err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for round := 0; ; round++ { // a node may meet the groups one after the other
		n := stoppedOrWhole(r)
		if n == nil {
			break
		}
		words := n.Log()
		if round == 12 || n.ExitStatus() != 70 || !strings.Contains(words, "queue salvage") {
			t.Fatalf("%s ended with %d, in round %d\n%s", n.Name, n.ExitStatus(), round, words)
		}
		t.Logf("%s: %s", n.Name, words[max(0, len(words)-600):])
		salvage(r, n, round == 0, named)
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if len(named) == 0 {
		t.Error("no message was named")
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return named[id] })
	t.Logf("%d of the %d messages that n1 and n2 had forgotten were named", len(ids)-len(missing),
		len(ids))
	if out := r.Command(n1, "queue", "count", "--state", "held", "--json"); !strings.Contains(
		out,
		`"messages":1`,
	) {
		t.Errorf("what was held is not: %s", out)
	}
	remote.Take()
	r.Command(n1, "queue", "release", held)
	r.Command(n1, "queue", "flush")
	r.World.Settle(r.Ctx, tries, 2*time.Minute)
	fault.Until = time.Now()
	h, err := faults.Collect(r.Ctx, r.Cluster, r.World, tries, []faults.Fault{fault})
	if err != nil {
		t.Error(err)
	}
	v := faults.Check(h, faults.Rules{})
	t.Logf("verdict:\n%v%v", v, v.Faults(h))
	if v.Lost.N > 0 || v.Changed.N > 0 || v.Waiting > 0 || v.Unlogged.N > 0 {
		t.Errorf(
			"the verdict above must have nothing lost, changed, or delivered once more without "+
				"a word\n%s",
			r.Chronicle(),
		)
	}
}

// large is a message that goes in pieces.
func large(r *kit.Run, i int) *mailtest.Message {
	g := mailtest.Generator{Seed: r.Gen.Seed, Run: "large", Domains: r.Gen.Domains, Size: 3 << 20}
	return g.Message(i)
}

// stoppedOrWhole waits until a node has ended, or, nil, all is well.
func stoppedOrWhole(r *kit.Run) *faults.Node {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx, 2*time.Minute)
	defer cancel()
	for _, n := range r.Cluster.Nodes() {
		gone := n.Gone()
		go func() {
			select {
			case <-gone:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	err := r.Cluster.AwaitWhole(ctx)
	for _, n := range r.Cluster.Nodes() {
		if !n.Up() {
			return n
		}
	}
	if err != nil {
		r.T.Fatalf("no node has ended, and not all is well: %v\n%s", err, r.Chronicle())
	}
	return nil
}

// salvage puts in again what a stopped node alone has, and adds what it names. Listing it first
// changes nothing, and the command may be killed.
func salvage(r *kit.Run, n *faults.Node, cut bool, named map[string]bool) {
	r.T.Helper()
	var listed []string
	name := func(out string) {
		for line := range strings.Lines(out) {
			listed = append(listed, line[:min(16, len(line))])
			named[listed[len(listed)-1]] = true
		}
	}
	name(r.Command(n, "queue", "salvage", "--list"))
	first := slices.Clone(listed)
	name(r.Command(n, "queue", "salvage", "--list"))
	for _, id := range first {
		if !slices.Contains(listed[len(first):], id) {
			r.T.Errorf("%s was listed, and then not any more", id)
		}
	}
	if cut {
		name(cutShort(r, n, "entry")) // before it has put in the first batch
		name(cutShort(r, n, "<"))     // after it
	}
	out := r.Command(n, "queue", "salvage")
	r.T.Log(out)
	name(out)
}

// cutShort runs `queue salvage`, kills it when it has printed a text, and returns what it printed.
func cutShort(r *kit.Run, n *faults.Node, text string) (printed string) {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(
		ctx,
		kit.Binary(r.T, ""),
		"queue",
		"salvage",
		"--config",
		filepath.Clean(n.Config),
	)
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := confine.Start(cmd); err != nil {
		r.T.Fatal(err)
	}
	go func() {
		cmd.Wait()
		in.Close()
	}()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		printed += lines.Text() + "\n"
		if strings.Contains(lines.Text(), text) {
			cmd.Process.Kill()
			break
		}
	}
	rest, _ := io.ReadAll(out) // until it has ended
	return printed + string(rest)
}
