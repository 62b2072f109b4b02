package cluster

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/testkit/faults"
)

// Limits of the one site in TestClusterRate, and what may come beyond them.
const (
	siteRate        = 50 // a second
	siteConnections = 6
	// A token bucket lets a twentieth of a second's worth through at once, and one transaction of
	// each owner (delivery/share).
	siteBurst = siteRate/20 + 3 + 1
)

// TestClusterRate: three nodes with far more mail for one site than it may get. The site never sees
// more connections or transactions than the limits of the whole cluster say, and nearly as many as
// they allow; also while a node is dead, and while one is cut off.
func TestClusterRate(t *testing.T) {
	kit.Measures(t)
	const span = time.Minute
	r := kit.StartRun(t, kit.RunOptions{Nodes: 3, Domains: 1, Size: 1 << 10, Quiet: true, Extra: `
[shaping."a.example"]
rate = "50/s"
connections = 6
`})
	m := watch(t)
	// Twice the limit, on all nodes, so that each has a queue of its own for the site.
	r.StartLoad(faults.LoadOptions{Connections: 12, Interval: 120 * time.Millisecond,
		Message: r.Gen.Message})
	r.Flows(siteRate * 4) // until the shares have settled
	from := time.Now()
	<-time.After(span) // the time is the experiment
	average(r, "undisturbed", from, 45)
	for _, s := range []faults.Step{
		{Kind: faults.Kill, Node: 0, For: span},
		{Kind: faults.Partition, Node: 1, Sides: []int{1}, State: faults.Stalled, For: span},
	} {
		from := time.Now()
		if err := r.Driver.Do(r.Ctx, s); err != nil {
			t.Fatalf("%v: %v\n%s", s, err, r.Logs())
		}
		average(r, s.String(), from, 40)
	}
	neverMore(r, m)
	r.Load.Stop()
	r.Load.Wait()
}

// begun are the times of all transactions, in order.
func begun(r *kit.Run) (all []time.Time) {
	for _, times := range r.World.Begun() {
		all = append(all, times...)
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// average checks that the site got at least so many transactions a second since a time.
func average(r *kit.Run, when string, from time.Time, least float64) {
	r.T.Helper()
	n, took := 0, time.Since(from)
	seconds := make([]int, int(took.Seconds())+1)
	for _, t := range begun(r) {
		if after := t.Sub(from); after >= 0 && after <= took {
			n++
			seconds[int(after.Seconds())]++
		}
	}
	rate := float64(n) / took.Seconds()
	if r.T.Logf("%s: %.1f transactions a second over %.1f s: %v", when, rate, took.Seconds(),
		seconds); rate < least {
		r.T.Errorf("%s: the site got %.1f transactions a second, at least %.0f of %d are wanted",
			when, rate, least, siteRate)
	}
}

// neverMore checks every second of the run.
func neverMore(r *kit.Run, m *machine) {
	r.T.Helper()
	all, most, at, worst := begun(r), 0, 0, 0
	for i, first := 0, 0; i < len(all); i++ {
		for all[i].Sub(all[first]) >= time.Second {
			first++
		}
		n, late := i-first+1, m.late(all[first], all[i])
		if n > most {
			most, at = n, first
		}
		worst = max(worst, n-siteRate-siteBurst-int(late.Seconds()*siteRate))
	}
	r.T.Logf(
		"at most %d transactions in a second, from %s, in which processes waited for up to %v; "+
			"%d connections",
		most, all[at].Format("15:04:05.000"), m.late(all[at], all[at].Add(time.Second)),
		r.World.Sink.MostOpen())
	if worst > 0 {
		r.T.Errorf("%d transactions in a second too many: the limit is %d/s, with a burst of %d",
			worst, siteRate, siteBurst)
	}
	if open := r.World.Sink.MostOpen(); open > siteConnections {
		r.T.Errorf("%d connections at once: the limit is %d", open, siteConnections)
	}
}

// machine notes how long processes wait for a processor. A node counts a transaction when it begins
// it; when the node, or the receiving server, waits before that is seen, those of more than a
// second are seen in one.
type machine struct {
	mu    sync.Mutex
	waits []wait
}

// wait is a time in which a goroutine that wanted to run did not.
type wait struct{ from, to time.Time }

const (
	waitTick  = 5 * time.Millisecond
	waitNoted = 20 * time.Millisecond
	// of the nodes nothing is known; this much is taken for possible
	waitLeast = 100 * time.Millisecond
)

// watch begins to note; it ends with the test.
func watch(t *testing.T) *machine {
	m, done := &machine{}, make(chan struct{})
	t.Cleanup(func() { close(done) })
	go func() {
		tick := time.NewTicker(waitTick)
		defer tick.Stop()
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-tick.C:
				m.note(last, time.Now())
			case <-done:
				return
			}
		}
	}()
	return m
}

func (m *machine) note(from, to time.Time) {
	if to.Sub(from) < waitNoted {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waits = append(m.waits, wait{from, to})
}

// late returns the longest wait about a time.
func (m *machine) late(from, to time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	longest := waitLeast
	for _, w := range m.waits {
		if w.to.After(from.Add(-waitLeast)) && w.from.Before(to.Add(waitLeast)) {
			longest = max(longest, w.to.Sub(w.from))
		}
	}
	return longest
}
