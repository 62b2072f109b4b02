package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// TestIdleCost measures what three nodes cost that do nothing, with quiet shards of mailboxes.
// POSTROAD_OLD names another program to measure instead. Most of it is waking up, whose price is
// the machine's: it is measured beside.
func TestIdleCost(t *testing.T) {
	kit.Measures(t)
	const last = time.Minute
	for _, c := range []idleCase{{16, 0.015}, {64, 0.03}} {
		t.Run(fmt.Sprintf("%d shards", c.shards), func(t *testing.T) {
			nodes := kit.DirectClusterOf(
				t,
				os.Getenv("POSTROAD_OLD"),
				3,
				"",
				fmt.Sprintf("mailbox_shards = %d\n", c.shards),
			)
			nodes[0].AddUser("secret of the idle", "someone@postroad.test")
			awaitRest(t, nodes, c.shards)
			pass(t, 10*time.Second)
			before := make([]time.Duration, len(nodes))
			start := time.Now()
			for i, n := range nodes {
				before[i] = measure.CPU([]int{n.PID()})
			}
			pass(t, last)
			took := time.Since(start)
			t.Logf("a thread that only wakes up takes %v each time here", wakeUp(t))
			for i, n := range nodes {
				share := float64(measure.CPU([]int{n.PID()})-before[i]) / float64(took)
				t.Logf("%d shards: node %d takes %.2f %% of a core", c.shards, i+1, 100*share)
				if share > c.bound {
					t.Errorf("the bound is %.1f %%", 100*c.bound)
				}
			}
		})
	}
}

// wakeUp returns the CPU time of a thread that does nothing but wake up, for each time.
func wakeUp(t *testing.T) time.Duration {
	t.Helper()
	const times, rusageThread = 500, 1
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(rusageThread, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	for range times {
		pause := syscall.NsecToTimespec(int64(10 * time.Millisecond))
		if err := syscall.Nanosleep(&pause, nil); err != nil && err != syscall.EINTR {
			t.Fatal(err)
		}
	}
	return (used() - before) / times
}

type idleCase struct {
	shards int
	bound  float64 // of a core
}

// awaitRest waits until all shards are spread evenly over the nodes.
func awaitRest(t *testing.T, nodes []*kit.Node, shards int) {
	t.Helper()
	why := ""
	kit.Eventually(t, 3*time.Minute, func() bool {
		var s faults.Status
		if err := json.Unmarshal([]byte(nodes[0].CLI("cluster", "status", "--json")),
			&s); err != nil {
			t.Fatal(err)
		}
		why = kit.Uneven(&s, make([]*faults.Node, len(nodes)), shards)
		return why == ""
	}, func() string { return why })
}

// pass lets time go by in which is measured.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	<-ctx.Done()
}
