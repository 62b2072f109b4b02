package operators

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// told is what a command of the queue prints last with --json.
type told struct {
	Messages   int64            `json:"messages"`
	Recipients int64            `json:"recipients"`
	States     map[string]int64 `json:"states"`
}

// asked is a command's end.
type asked struct {
	status int
	out    string
	told   told
}

// atOnce runs a command at a node until it is there to answer, and returns the first answer.
func atOnce(r *kit.Run, n *faults.Node, args ...string) (a asked) {
	r.T.Helper()
	kit.Eventually(r.T, time.Minute, func() bool {
		a.status, a.out = r.Status(n, args...)
		return a.status != 69
	}, func() string { return n.Name + " does not answer\n" + n.Log() })
	for line := range strings.Lines(a.out) {
		if strings.HasPrefix(line, "{") {
			json.Unmarshal([]byte(line), &a.told)
		}
	}
	return a
}

// TestVerbsOfARestartedNode: a node that comes back after SIGKILL has its newest rows in the log
// only, and does not know of other nodes' queues. Whatever an operator asks it at once, it answers
// truly or with 75; with the others away, always with 75.
func TestVerbsOfARestartedNode(t *testing.T) {
	t.Parallel()
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Domains: 2, Seed: 20261130, Size: 2048,
		Quiet: true})
	remote := &kit.Refusing{}
	r.World.Answer(remote.Step)
	nodes := r.Cluster.Nodes()
	const total = 30
	load := r.StartLoad(faults.LoadOptions{Connections: 3, Count: total})
	var ids []string
	for _, try := range load.Wait() {
		if len(try.Accepted) > 0 {
			ids = append(ids, try.QueueID)
		}
	}
	if len(ids) != total {
		t.Fatalf("%d messages were accepted", len(ids))
	}
	kit.Eventually(t, time.Minute, func() bool {
		r.Command(nodes[0], "queue", "hold", "--all")
		return atOnce(r,
			nodes[0],
			"queue",
			"count",
			"--state",
			"held",
			"--json",
		).told.Recipients == total
	}, func() string { return "not all is held\n" + r.Chronicle() })

	left, gone := int64(total), map[string]bool{}
	for round := range kit.Rounds(3, 9) {
		n := nodes[2-round%3]
		n.Kill()
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		id := ids[round]
		if a := atOnce(r, n, "queue", "count", "--json"); a.status != 75 &&
			(a.status != 0 || a.told.Recipients != left) {
			t.Errorf(
				"%s counts %d of %d, status %d: %s",
				n.Name,
				a.told.Recipients,
				left,
				a.status,
				a.out,
			)
		}
		if a := atOnce(r, n, "queue", "show", id); a.status != 75 && a.status != 0 {
			t.Errorf("%s does not show what is there: status %d: %s", n.Name, a.status, a.out)
		}
		if a := atOnce(r, n, "suspend", "--domain", "a.example", "--reason", "for a test",
			"--json"); a.status != 75 &&
			a.status != 0 {
			t.Errorf("%s does not suspend: status %d: %s", n.Name, a.status, a.out)
		}
		if a := atOnce(r, n, "trace", id); a.status != 75 && a.status != 0 {
			t.Errorf("%s does not trace what is there: status %d: %s", n.Name, a.status, a.out)
		}
		a := atOnce(r, n, "queue", "remove", "--id", id, "--json")
		if a.status != 75 && (a.status != 0 || a.told.Recipients != 1) {
			t.Errorf(
				"%s removes %d of 1, status %d: %s",
				n.Name,
				a.told.Recipients,
				a.status,
				a.out,
			)
		}
		gone[id] = true
		left--
		r.Within(time.Minute, "starting again", r.Cluster.AwaitWhole)
		if a.status == 75 {
			r.Command(n, "queue", "remove", "--id", id)
		}
		if a := atOnce(r, n, "queue", "count", "--json"); a.status != 0 ||
			a.told.Recipients != left {
			t.Fatalf(
				"%s counts %d of %d, status %d: %s",
				n.Name,
				a.told.Recipients,
				left,
				a.status,
				a.out,
			)
		}
	}

	for _, n := range nodes {
		n.Kill()
	}
	alone := nodes[1]
	if err := alone.Start(); err != nil {
		t.Fatal(err)
	}
	askedAlone(r, alone, ids[len(ids)-1])
	for _, n := range []*faults.Node{nodes[0], nodes[2]} {
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
	}
	r.Within(time.Minute, "starting again", r.Cluster.AwaitWhole)
	if a := atOnce(r, alone, "queue", "count", "--json"); a.status != 0 ||
		a.told.Recipients != left ||
		a.told.States["held"] != left {
		t.Errorf(
			"%s counts %d of %d, status %d: %s",
			alone.Name,
			a.told.Recipients,
			left,
			a.status,
			a.out,
		)
	}
	remote.Take()
	atOnce(r, alone, "resume", "--domain", "a.example")
	r.Command(alone, "queue", "release", "--all")
	kit.Eventually(t, time.Minute, func() bool { return r.World.Sink.Accepted() == int(left) },
		func() string { return "not all that is left arrives, or more\n" + r.Chronicle() })
	for _, try := range load.Tries() {
		if gone[try.QueueID] &&
			slices.ContainsFunc(
				r.World.Sink.Deliveries(),
				func(d mailtest.Delivery) bool { return d.ID == try.ID },
			) {
			t.Errorf("%s was removed, and arrived", try.QueueID)
		}
	}
}

// askedAlone asks a node that runs without the others whatever rests on what the cluster has
// decided.
func askedAlone(r *kit.Run, n *faults.Node, id string) {
	r.T.Helper()
	atOnce(r, n, "cluster", "status")
	var all sync.WaitGroup
	for _, args := range [][]string{
		{"queue", "count"}, {"queue", "list"}, {"queue", "show", id}, {"queue", "hold", "--all"},
		{"queue", "release", "--id", id}, {"queue", "remove", "--id", id},
		{"queue", "fail", "--id", id}, {"queue", "flush"}, {"trace", id},
		{"suspend", "--domain", "a.example", "--reason", "for a test"},
		{"resume", "--domain", "b.example"}, {"suspend", "list"}, {"user", "list"},
		{"domain", "list"}, {"domain", "remove", "nowhere.example"}, {"mailbox", "list"},
		{"cluster", "status"}, {"cluster", "remove", "nobody"}, {"cluster", "backup", "-"},
	} {
		all.Go(func() {
			out, err := n.Run(r.Ctx, args...)
			var ce *faults.CommandError
			if !errors.As(err, &ce) || ce.Status != 75 ||
				!strings.Contains(ce.Stderr, "the control group has no leader") {
				r.T.Errorf("alone, %v answers %v: %s", args, err, out)
				return
			}
			switch words := strings.Join(args[:2], " "); {
			case words == "queue hold" &&
				!strings.Contains(ce.Stderr, "nothing is known to be held"),
				words == "queue count" && !strings.Contains(out, "is not known"),
				words == "cluster status" && strings.Contains(out, "serving"):
				r.T.Errorf("alone, %v tells what it cannot know: %s\n%s", args, out, ce.Stderr)
			}
		})
	}
	all.Wait()
}
