package forming

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// formings returns how many clusters are formed, and the first seed: POSTROAD_FORMING_SEEDS and
// POSTROAD_FORMING_SEED.
func formings(t *testing.T) (count int, seed uint64) {
	t.Helper()
	count, seed = kit.Rounds(3, 200), 1
	for name, into := range map[string]any{"POSTROAD_FORMING_SEEDS": &count,
		"POSTROAD_FORMING_SEED": &seed} {
		if v := os.Getenv(name); v != "" {
			if _, err := fmt.Sscan(v, into); err != nil {
				t.Fatalf("%s=%q: want a number", name, v)
			}
		}
	}
	return count, seed
}

// TestForming: clusters of one, two, three and five nodes are formed in each documented way under
// load, with nodes and commands killed after every step and at random moments. Afterwards there is
// one cluster, all take mail within 20 s of the last start, none waited in silence, and nothing
// that was acknowledged is lost.
func TestForming(t *testing.T) {
	count, seed := formings(t)
	for i := range count {
		s := seed + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) {
			t.Parallel()
			formOne(t, s)
		})
	}
}

func formOne(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 10))
	size := []int{1, 2, 3, 3, 3, 5}[rng.IntN(6)]
	hand := rng.IntN(2) == 0
	f := &forming{rng: rng, hand: hand, end: make(chan struct{}), killed: map[string]bool{}}
	f.Run = kit.StartRun(
		t,
		kit.RunOptions{
			Nodes:   size,
			Seed:    seed,
			MaxSize: 8 << 10,
			Apart:   true,
			Grows:   true,
			ByHand:  hand,
			Quiet:   true,
		},
	)
	t.Cleanup(func() {
		select {
		case <-f.end:
		default:
			close(f.end)
		}
		for _, n := range f.Cluster.All() {
			n.Kill()
		}
		f.watching.Wait()
	})
	t.Logf("seed %d: %d nodes, by hand: %t", seed, size, hand)
	load := f.StartLoad(
		faults.LoadOptions{Connections: 2, Interval: 30 * time.Millisecond, Tries: 10_000},
	)
	f.form()
	for range 2 + rng.IntN(3) { // the first moments of the cluster
		<-time.After(time.Duration(rng.IntN(1500)) * time.Millisecond)
		if n := f.any(); n != nil {
			f.kill(n)
		}
	}
	<-time.After(
		restartAfter + 600*time.Millisecond,
	) // kills of the last steps are over, and all are started again
	took := f.settle()
	t.Logf("all are ready %.1f s after the last start", took.Seconds())
	if took > readyWithin {
		t.Errorf("all are ready only %v after the last start", took)
	}
	f.Within(time.Minute, "after all kills", f.Cluster.AwaitWhole)
	f.oneCluster()
	f.mu.Lock()
	crashes := f.crashes
	for _, what := range f.faulty {
		t.Error(what)
	}
	f.mu.Unlock()
	f.Verdict([]*faults.Load{load}, func(string) bool { return false }, crashes...)
	if load.Accepted() == 0 {
		t.Error("no message was taken")
	}
	close(f.end)
}

// oneCluster: all nodes say the same of which cluster they are, and who is in it.
func (f *forming) oneCluster() {
	f.T.Helper()
	id := ""
	for _, n := range f.Cluster.Nodes() {
		var s struct {
			Cluster string          `json:"cluster"`
			Members []faults.Member `json:"members"`
		}
		kit.Eventually(f.T, 20*time.Second, func() bool {
			out, err := n.Run(f.Ctx, "cluster", "status", "--json")
			s.Members = nil
			return err == nil && json.NewDecoder(strings.NewReader(out)).Decode(&s) == nil &&
				len(s.Members) == len(f.Cluster.Nodes())
		}, func() string { return fmt.Sprintf("%s knows the members %+v", n.Name, s.Members) })
		if id != "" && s.Cluster != id {
			f.T.Errorf("%s is in the cluster %s, others in %s", n.Name, s.Cluster, id)
		}
		id = s.Cluster
		for _, m := range s.Members {
			if m.State != "active" {
				f.T.Errorf("%s knows %s as %s", n.Name, m.Name, m.State)
			}
		}
	}
}
