package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// This file is about mailboxes whose shards move: nodes come, go and are replaced, and what is in
// the mailboxes stays.

// shardsOf are the groups of mailboxes.
func shardsOf(s *faults.Status) []faults.Group {
	return slices.DeleteFunc(slices.Clone(s.Groups), func(g faults.Group) bool { return g.Kind != "mailbox" })
}

// uneven says what keeps the shards from being spread over the nodes as evenly as can be, voters
// and leaders alike; "" means that they are.
func uneven(s *faults.Status, nodes []*faults.Node, shards int) string {
	groups := shardsOf(s)
	if len(groups) != shards {
		return fmt.Sprintf("there are %d of %d shards", len(groups), shards)
	}
	voters, leads := map[string]int{}, map[string]int{}
	for _, g := range groups {
		if g.Leader == "" || g.Leader != g.Home || len(g.Voters) != min(3, len(nodes)) || len(g.Moves) > 0 || g.State != "serving" {
			return fmt.Sprintf("shard %d is not at rest: %+v", *g.Shard, g)
		}
		leads[g.Leader]++
		for _, v := range g.Voters {
			voters[v]++
		}
	}
	for what, count := range map[string]map[string]int{"voters": voters, "leaders": leads} {
		if least, most := slices.Min(slices.Collect(maps.Values(count))), slices.Max(slices.Collect(maps.Values(count))); len(count) != len(nodes) || most-least > 1 {
			return fmt.Sprintf("%s are %v", what, count)
		}
	}
	return ""
}

// awaitEven waits until all shards are at rest and spread evenly.
func (r *run) awaitEven(shards int) {
	r.t.Helper()
	start := time.Now()
	r.within(2*time.Minute, "shards at rest", func(ctx context.Context) error {
		for {
			s, err := r.Cluster.Status(ctx)
			why := fmt.Sprint(err)
			if err == nil {
				if why = uneven(s, r.Cluster.Nodes(), shards); why == "" {
					return nil
				}
			}
			select {
			case <-ctx.Done():
				return errors.New(why + "\n" + r.command(r.Cluster.Live()[0], "cluster", "status") + r.chronicle())
			case <-time.After(100 * time.Millisecond): // each question is a process of its own
			}
		}
	})
	r.t.Logf("%d shards are at rest, spread over %d nodes, after %.1f s", shards, len(r.Cluster.Nodes()), time.Since(start).Seconds())
}

// store imports messages into a mailbox.
func (r *run) store(at *faults.Node, box string, messages ...*mailtest.Message) {
	r.t.Helper()
	dir := r.t.TempDir()
	makeMaildir(r.t, dir)
	for _, m := range messages {
		if err := os.WriteFile(filepath.Join(dir, "new", m.ID), m.Content, 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	r.command(at, "mailbox", "import", box, dir)
}

// stored reads a mailbox at a node, and returns how often each message is in it. Each must have the
// content that its ID says.
func (r *run) stored(at *faults.Node, box string, sums map[string]mailtest.Sum) map[string]int {
	r.t.Helper()
	dir := filepath.Join(r.t.TempDir(), "box")
	r.command(at, "mailbox", "export", box, dir, "--format", "maildir")
	count := map[string]int{}
	for _, content := range readMaildir(r.t, dir) {
		sum, id := mailtest.SumOf(content)
		if want, ok := sums[id]; !ok || sum != want {
			r.t.Errorf("%s has a message %q with another content than was sent, or that nobody sent", box, id)
		}
		count[id]++
	}
	return count
}

// filling is what mailboxes were filled with.
type filling struct {
	r      *run
	perBox int
	sums   map[string]mailtest.Sum
}

// fill imports so many messages into each mailbox, at one node after another.
func (r *run) fill(boxes []string, perBox int) *filling {
	r.t.Helper()
	f := &filling{r: r, perBox: perBox, sums: map[string]mailtest.Sum{}}
	for i, box := range boxes {
		var messages []*mailtest.Message
		for k := range perBox {
			m := r.Gen.Message(i*perBox + k)
			messages, f.sums[m.ID] = append(messages, m), m.Sum
		}
		nodes := r.Cluster.Live()
		r.store(nodes[i%len(nodes)], box, messages...)
	}
	return f
}

// mustBeIn finds all messages of a mailbox, once each, at a node.
func (f *filling) mustBeIn(n *faults.Node, box string) {
	f.r.t.Helper()
	got := f.r.stored(n, box, f.sums)
	if len(got) != f.perBox {
		f.r.t.Errorf("%s has %d messages of %d: %v", box, len(got), f.perBox, got)
	}
	for id, n := range got {
		if n != 1 {
			f.r.t.Errorf("%s has %s %d times", box, id, n)
		}
	}
}

// TestShardsFollowNodes: three nodes with mailboxes become four, and three again by a drain, and
// one is replaced after its death. The shards follow them, evenly, and each mailbox has what it
// had, read at every node.
func TestShardsFollowNodes(t *testing.T) {
	t.Parallel()
	const shards, perBox = 16, 5
	r := startBoxes(t, "", 3, 24)
	boxes := r.users
	r.awaitEven(shards)
	filled := r.fill(boxes, perBox)
	complete := func() {
		t.Helper()
		for i, box := range boxes {
			filled.mustBeIn(r.Cluster.Live()[i%len(r.Cluster.Live())], box)
		}
	}
	complete()

	r.growInSight(shards)
	complete()
	r.shrink(r.Cluster.Nodes()[1])
	r.awaitEven(shards)
	complete()
	if err := r.Driver.Do(r.ctx, faults.Step{Kind: faults.Replace, Node: 1}); err != nil {
		t.Fatalf("%v\n%s", err, r.chronicle())
	}
	r.awaitEven(shards)
	complete()
}

// TestShardsRecoverAndRestore: with two of three disks gone the third has all mailboxes after a
// recovery, and gives them to a node that joins. A backup of that cluster, restored into an empty
// data directory, has its users, and as many shards as it had, whatever the configuration says by
// then.
func TestShardsRecoverAndRestore(t *testing.T) {
	t.Parallel()
	const shards, perBox = 16, 3
	r := startBoxes(t, "", 3, 12)
	boxes := r.users
	r.awaitEven(shards)
	filled := r.fill(boxes, perBox)
	nodes := r.Cluster.Nodes()
	left := nodes[0]
	for _, n := range nodes {
		n.Kill()
	}
	for _, n := range nodes[1:] {
		if err := n.Wipe(); err != nil {
			t.Fatal(err)
		}
		n.Retire()
	}
	if status, out := r.status(left, "cluster", "recover"); status != 0 {
		t.Errorf("without --accept-loss: exit status %d: %s", status, out)
	}
	if status, out := r.status(left, "cluster", "recover", "--accept-loss"); status != 0 {
		t.Fatalf("exit status %d: %s", status, out)
	}
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	r.within(time.Minute, "the recovered node", left.AwaitReady)
	r.awaitEven(shards)
	for _, box := range boxes {
		filled.mustBeIn(left, box)
	}
	fresh := r.grow()
	r.awaitEven(shards)
	for _, box := range boxes {
		filled.mustBeIn(fresh, box)
	}

	backup := filepath.Join(t.TempDir(), "backup")
	r.command(fresh, "cluster", "backup", backup)
	fresh.Kill()
	left.Kill()
	fresh.Retire()
	config, err := os.ReadFile(left.Config)
	if err != nil {
		t.Fatal(err)
	}
	config = bytes.Replace(config, []byte("[cluster]\n"), []byte("[cluster]\nmailbox_shards = 5\n"), 1)
	if err := errors.Join(left.Wipe(), os.WriteFile(left.Config, config, 0o600)); err != nil {
		t.Fatal(err)
	}
	if status, out := r.status(left, "cluster", "restore", backup); status != 78 || !strings.Contains(out, "remove the file") {
		t.Errorf("restore beside the note of a member: exit status %d: %s", status, out)
	}
	if err := os.Remove(left.Config + ".member"); err != nil {
		t.Fatal(err)
	}
	r.command(left, "cluster", "restore", backup)
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	r.within(time.Minute, "the restored node", left.AwaitReady)
	r.awaitEven(shards)
	if out := r.command(left, "user", "list"); !strings.Contains(out, boxes[11]) {
		t.Errorf("users of the restored cluster: %s", out)
	}
}
