package life

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// waitingRecipient is what a listing says of a recipient: of which message, in which state, after
// how many attempts, due when.
type waitingRecipient struct {
	id, address, state string
	attempts           int
	next               int64
}

// waitsAt lists what the cluster's queues hold, as a node tells it, and in which groups. It must be
// complete.
func waitsAt(r *kit.Run, n *faults.Node) (all map[waitingRecipient]bool, groups map[uint64]int) {
	r.T.Helper()
	all, groups = map[waitingRecipient]bool{}, map[uint64]int{}
	for line := range strings.Lines(r.Command(n, "queue", "list", "--json")) {
		var m struct {
			ID         string `json:"queue_id"`
			Group      uint64 `json:"group"`
			Recipients []struct {
				Address  string `json:"address"`
				State    string `json:"state"`
				Attempts int    `json:"attempts"`
				Next     int64  `json:"next_attempt"`
			} `json:"recipients"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			r.T.Fatalf("queue list: %v: %.300s", err, line)
		}
		if m.ID == "" {
			continue
		}
		groups[m.Group]++
		for _, to := range m.Recipients {
			w := waitingRecipient{m.ID, to.Address, to.State, to.Attempts, to.Next}
			if all[w] {
				r.T.Errorf("%v is listed twice", w)
			}
			all[w] = true
		}
	}
	return all, groups
}

// homeOf returns the queue group of a node's mail.
func homeOf(r *kit.Run, name string) (g faults.Group) {
	if s, err := r.Cluster.Status(r.Ctx); err == nil {
		for _, g := range s.Groups {
			if g.Kind == "queue" && g.Home == name && g.State != "retired" {
				return g
			}
		}
	}
	return g
}

// TestDrainOfWaitingMail: a node with mail that is held, and mail that is due next week, is drained
// while owners of its group and of the others are killed. The drain ends in minutes; the mail is as
// it was, counted once at any time, and delivered once when its time comes: 150 messages of each
// kind and two kills. POSTROAD_LONG=1: 10,000 and six.
func TestDrainOfWaitingMail(t *testing.T) {
	each, kills := 150, 2
	if kit.Long() {
		each, kills = 10_000, 6
	}
	const seed = 20261130
	r := kit.StartRun(t, kit.RunOptions{Nodes: 4, Seed: seed, Domains: 2, MaxSize: 16 << 10,
		Quiet: true,
		Extra: "[retry]\nschedule = [\"7d\"]\nexpire = \"30d\"\n"})
	r.World.Answer(func(s *mailtest.Step) mailtest.Action {
		if s.At == mailtest.AtRcpt {
			return mailtest.Action{Reply: "450 4.2.0 next week"}
		}
		return mailtest.Action{}
	})
	r.Within(time.Minute, "all whole", r.Cluster.AwaitWhole)
	leaves, at := r.Cluster.Node(1), r.Cluster.Node(2)
	first := func() []faults.Server { return r.Cluster.Servers()[:1] }
	r.StartLoad(
		faults.LoadOptions{
			Servers:     first,
			Connections: 8,
			Count:       2 * each,
			Message: func(i int) *mailtest.Message {
				m := *r.Gen.Message(i)
				m.Recipients = m.Recipients[:1]
				name, _, _ := strings.Cut(m.Recipients[0], "@")
				m.Recipients = []string{name + "@" + []string{"a.example", "b.example"}[i%2]}
				return &m
			},
		},
	)
	<-r.Load.Done()
	kit.Eventually(t, 10*time.Minute, func() bool {
		return strings.Contains(
			r.Command(at, "queue", "count", "--state", "deferred", "--json"),
			fmt.Sprintf(`"recipients":%d`, 2*each),
		)
	}, func() string { return "not all is put off: " + r.Command(at, "queue", "count", "--json") })
	r.Command(at, "queue", "hold", "--domain", "b.example")
	before, in := waitsAt(r, at)
	source := homeOf(r, leaves.Name)
	if len(before) != 2*each || in[source.ID] != 2*each {
		t.Fatalf(
			"%d recipients wait, in the groups %v; want %d in group %d",
			len(before),
			in,
			2*each,
			source.ID,
		)
	}

	start := time.Now()
	var work sync.WaitGroup
	var out string
	var err error
	ctx, cancel := context.WithTimeout(r.Ctx, 10*time.Minute)
	defer cancel()
	over := make(chan struct{})
	work.Go(
		func() { // the node at which it was told to may be killed, too; then another one is asked
			defer close(over)
			for i := 0; ctx.Err() == nil; i++ {
				if nodes := r.Cluster.Live(); len(nodes) > 0 {
					if out, err = nodes[(i+1)%len(nodes)].Run(ctx, "cluster", "drain",
						leaves.Name); err == nil {
						return
					}
				}
			}
		},
	)
	counted := 0
	var killed atomic.Pointer[faults.Node] // the latest
	work.Go(
		// meanwhile each message is counted once, or the answer says that it is not complete
		func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(200 * time.Millisecond):
				}
				asked := at
				if killed.Load() == at {
					asked = r.Cluster.Node(3)
				}
				got, cerr := asked.Run(ctx, "queue", "count", "--json")
				if cerr == nil {
					if counted++; !strings.Contains(got, fmt.Sprintf(`"messages":%d`, 2*each)) {
						t.Errorf("counted while it is drained: %s, want %d", got, 2*each)
					}
				}
			}
		},
	)
	random := rand.New(rand.NewPCG(seed, 1))
	for k := range kills {
		left := int64(2 * each * (kills - k) / (kills + 1))
		var g faults.Group
		kit.Eventually(
			t,
			5*time.Minute,
			func() bool {
				g = homeOf(r, leaves.Name)
				return g.Leader != "" && g.Messages <= left ||
					g.ID == 0
			},
			func() string {
				return fmt.Sprintf("%d messages are left: %s\n%s", g.Messages, out,
					r.Chronicle())
			},
		)
		victim := r.Cluster.Named(g.Leader)
		if victim == nil || k%2 == 1 {
			victim = r.Cluster.Node(2 + random.IntN(3)) // the owner of a group that takes the mail
		}
		killed.Store(victim)
		t.Logf(
			"after %.1f s: %d left in group %d of %s, %s is killed",
			time.Since(start).Seconds(),
			g.Messages,
			g.ID,
			g.Leader,
			victim.Name,
		)
		victim.Kill()
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
	}
	work.Wait()
	if err != nil {
		t.Fatalf(
			"the drain does not end: %v\n%s\n%s\n%s",
			err,
			out,
			r.Command(at, "cluster", "status"),
			r.Chronicle(),
		)
	}
	took := time.Since(start)
	for _, n := range r.Cluster.Nodes() { // the one that was killed last may be starting
		if n != leaves {
			r.Within(2*time.Minute, n.Name+" is ready", n.AwaitReady)
		}
	}
	after, now := waitsAt(r, at)
	t.Logf(
		"drained of %d held and %d due next week after %.1f s, %d owners killed, counted %d "+
			"times; now in the groups %v",
		each,
		each,
		took.Seconds(),
		kills,
		counted,
		now,
	)
	if !maps.Equal(before, after) || now[source.ID] > 0 {
		lost, n := []waitingRecipient{}, 0
		for w := range before {
			if !after[w] && len(lost) < 5 {
				lost = append(lost, w)
			}
			if !after[w] {
				n++
			}
		}
		t.Errorf(
			"%d wait now, %d did; %d are other than they were, among them %v; in the groups %v",
			len(after),
			len(before),
			n,
			lost,
			now,
		)
	}
	told, looked := false, 0
	for w := range after { // the latest lines of a node are lost when it is killed
		if told = strings.Contains(r.Command(at, "trace", w.id), "handed over to group"); told ||
			looked == 60 {
			break
		}
		looked++
	}
	if !told {
		t.Errorf("no trace of %d messages tells of the move:\n%s", looked, r.Chronicle())
	}
	r.Command(at, "cluster", "remove", leaves.Name)
	leaves.Terminate()
	leaves.Retire()

	r.World.Answer(nil)
	r.Command(at, "queue", "release", "--all")
	r.Command(at, "queue", "flush")
	kit.Eventually(
		t,
		10*time.Minute,
		func() bool { return r.World.Sink.Accepted() >= 2*each },
		func() string {
			return fmt.Sprintf("%d arrived\n%s", r.World.Sink.Accepted(),
				r.Chronicle())
		},
	)
	v, _ := r.Finish(time.Minute)
	if !v.OK() || v.Waiting > 0 || r.World.Sink.Accepted() > 2*each {
		t.Errorf(
			"the verdict above must have no findings, nothing may wait, and nothing come twice "+
				"(%d of %d)",
			r.World.Sink.Accepted(),
			2*each,
		)
	}
}
