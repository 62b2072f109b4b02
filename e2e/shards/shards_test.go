package shards

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// awaitEven waits until all shards are at rest and spread evenly.
func awaitEven(r *kit.Run, shards int) {
	r.T.Helper()
	start := time.Now()
	r.Within(2*time.Minute, "shards at rest", func(ctx context.Context) error {
		for {
			s, err := r.Cluster.Status(ctx)
			why := fmt.Sprint(err)
			if err == nil {
				if why = kit.Uneven(s, r.Cluster.Nodes(), shards); why == "" {
					return nil
				}
			}
			select {
			case <-ctx.Done():
				return errors.New(why + "\n" + r.Command(r.Cluster.Live()[0], "cluster",
					"status") + r.Chronicle())
			case <-time.After(100 * time.Millisecond): // each question is a roll call of all nodes
			}
		}
	})
	r.T.Logf("%d shards are at rest, spread over %d nodes, after %.1f s", shards,
		len(r.Cluster.Nodes()), time.Since(start).Seconds())
}

// store imports messages into a mailbox.
func store(r *kit.Run, at *faults.Node, box string, messages ...*mailtest.Message) {
	r.T.Helper()
	dir := r.T.TempDir()
	kit.MakeMaildir(r.T, dir)
	for _, m := range messages {
		if err := os.WriteFile(filepath.Join(dir, "new", m.ID), m.Content, 0o600); err != nil {
			r.T.Fatal(err)
		}
	}
	r.Command(at, "mailbox", "import", box, dir)
}

// stored reads a mailbox at a node, and returns how often each message is in it. Each must have the
// content that its ID says.
func stored(r *kit.Run, at *faults.Node, box string, sums map[string]mailtest.Sum) map[string]int {
	r.T.Helper()
	dir := filepath.Join(r.T.TempDir(), "box")
	r.Command(at, "mailbox", "export", box, dir, "--format", "maildir")
	count := map[string]int{}
	for _, content := range kit.ReadMaildir(r.T, dir) {
		sum, id := mailtest.SumOf(content)
		if want, ok := sums[id]; !ok || sum != want {
			r.T.Errorf(
				"%s has a message %q with another content than was sent, or that nobody sent", box,
				id)
		}
		count[id]++
	}
	return count
}

// filling is what mailboxes were filled with.
type filling struct {
	r      *kit.Run
	perBox int
	sums   map[string]mailtest.Sum
}

// fill imports so many messages into each mailbox, at one node after another.
func fill(r *kit.Run, boxes []string, perBox int) *filling {
	r.T.Helper()
	f := &filling{r: r, perBox: perBox, sums: map[string]mailtest.Sum{}}
	for i, box := range boxes {
		var messages []*mailtest.Message
		for k := range perBox {
			m := r.Gen.Message(i*perBox + k)
			messages, f.sums[m.ID] = append(messages, m), m.Sum
		}
		nodes := r.Cluster.Live()
		store(r, nodes[i%len(nodes)], box, messages...)
	}
	return f
}

// mustBeIn finds all messages of a mailbox, once each, at a node.
func (f *filling) mustBeIn(n *faults.Node, box string) {
	f.r.T.Helper()
	got := stored(f.r, n, box, f.sums)
	if len(got) != f.perBox {
		f.r.T.Errorf("%s has %d messages of %d: %v", box, len(got), f.perBox, got)
	}
	for id, n := range got {
		if n != 1 {
			f.r.T.Errorf("%s has %s %d times", box, id, n)
		}
	}
}

// TestShardsFollowNodes: three nodes with mailboxes become four, and three again by a drain, and
// one is replaced after its death. The shards follow them, evenly, and each mailbox has what it
// had, read at every node: 12 of them. POSTROAD_LONG=1: 24.
func TestShardsFollowNodes(t *testing.T) {
	t.Parallel()
	const shards, perBox = 16, 5
	r := kit.StartBoxes(t, "", 3, kit.Rounds(12, 24))
	boxes := r.Users
	awaitEven(r.Run, shards)
	filled := fill(r.Run, boxes, perBox)
	complete := func() {
		t.Helper()
		for i, box := range boxes {
			filled.mustBeIn(r.Cluster.Live()[i%len(r.Cluster.Live())], box)
		}
	}
	complete()

	growInSight(r, shards)
	complete()
	r.Shrink(r.Cluster.Nodes()[1])
	awaitEven(r.Run, shards)
	complete()
	if err := r.Driver.Do(r.Ctx, faults.Step{Kind: faults.Replace, Node: 1}); err != nil {
		t.Fatalf("%v\n%s", err, r.Chronicle())
	}
	awaitEven(r.Run, shards)
	complete()
}

// TestShardsRecoverAndRestore: with two of three disks gone the third has all mailboxes after a
// recovery, and gives them to a node that joins. A backup of that cluster, restored into an empty
// data directory, has its users, and as many shards as it had, whatever the configuration says by
// then.
func TestShardsRecoverAndRestore(t *testing.T) {
	t.Parallel()
	const shards, perBox = 16, 3
	r := kit.StartBoxes(t, "", 3, 12)
	boxes := r.Users
	awaitEven(r.Run, shards)
	filled := fill(r.Run, boxes, perBox)
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
	if status, out := r.Status(left, "cluster", "recover"); status != 0 {
		t.Errorf("without --accept-loss: exit status %d: %s", status, out)
	}
	if status, out := r.Status(left, "cluster", "recover", "--accept-loss"); status != 0 {
		t.Fatalf("exit status %d: %s", status, out)
	}
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	r.Within(time.Minute, "the recovered node", left.AwaitReady)
	awaitEven(r.Run, shards)
	for _, box := range boxes {
		filled.mustBeIn(left, box)
	}
	fresh := r.Grow()
	awaitEven(r.Run, shards)
	for _, box := range boxes {
		filled.mustBeIn(fresh, box)
	}

	backup := filepath.Join(t.TempDir(), "backup")
	r.Command(fresh, "cluster", "backup", backup)
	fresh.Kill()
	left.Kill()
	fresh.Retire()
	config, err := os.ReadFile(left.Config)
	if err != nil {
		t.Fatal(err)
	}
	config = bytes.Replace(config, []byte("[cluster]\n"), []byte("[cluster]\nmailbox_shards = 5\n"),
		1)
	if err := errors.Join(left.Wipe(), os.WriteFile(left.Config, config, 0o600)); err != nil {
		t.Fatal(err)
	}
	if status, out := r.Status(left, "cluster", "restore", backup); status != 78 ||
		!strings.Contains(out, "remove the file") {
		t.Errorf("restore beside the note of a member: exit status %d: %s", status, out)
	}
	if err := os.Remove(left.Config + ".member"); err != nil {
		t.Fatal(err)
	}
	r.Command(left, "cluster", "restore", backup)
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	r.Within(time.Minute, "the restored node", left.AwaitReady)
	awaitEven(r.Run, shards)
	if out := r.Command(left, "user", "list"); !strings.Contains(out, boxes[11]) {
		t.Errorf("users of the restored cluster: %s", out)
	}
}
