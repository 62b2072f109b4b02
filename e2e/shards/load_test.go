package shards

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad/postroad/e2e/kit"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// readers read mailboxes over POP3, at one node after another, until they are stopped. A session
// may be ended when its shard gets another owner.
type readers struct {
	stop  context.CancelFunc
	work  sync.WaitGroup
	whole atomic.Int64 // maildrops that were read
	mu    sync.Mutex
	ended map[string]int // sessions that were not finished, by why
}

// early notes a session that was not finished.
func (rs *readers) early(err error) {
	_, why, ok := strings.Cut(err.Error(), "it says ")
	if !ok {
		why = err.Error()
		if i := strings.LastIndex(why, ": "); i >= 0 {
			why = why[i+2:] // without addresses
		}
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.ended[why]++
}

// report says how many sessions ended early, and why.
func (rs *readers) report() string {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	s := fmt.Sprintf("%d maildrops read; sessions that ended early:\n", rs.whole.Load())
	for _, why := range slices.Sorted(maps.Keys(rs.ended)) {
		s += fmt.Sprintf("%6d  %s\n", rs.ended[why], why)
	}
	return s
}

func startReaders(r *kit.BoxRun, n int) *readers {
	ctx, stop := context.WithCancel(r.Ctx)
	pause := time.Duration(0)
	if !kit.Long() {
		pause = 50 * time.Millisecond // to read without end would take the machine from the rest
	}
	rs := &readers{stop: stop, ended: map[string]int{}}
	for i := range n {
		rs.work.Go(func() {
			for k := i; ctx.Err() == nil; k += n {
				live := r.Cluster.Live()
				if _, err := kit.ReadMaildrop(live[k%len(live)].POP3,
					r.Users[k*7%len(r.Users)]); err != nil {
					rs.early(err)
				} else {
					rs.whole.Add(1)
				}
				clock.Pause(ctx, pause)
			}
		})
	}
	r.T.Cleanup(rs.end)
	return rs
}

func (rs *readers) end() {
	rs.stop()
	rs.work.Wait()
}

// awaitUnlocked waits until no maildrop is locked: the lock of a session whose node died lasts for
// another minute.
func awaitUnlocked(r *kit.BoxRun) {
	r.T.Helper()
	left := slices.Clone(r.Users)
	kit.Eventually(r.T, 2*time.Minute, func() bool {
		left = slices.DeleteFunc(left, func(user string) bool {
			m, err := kit.OpenMaildrop(r.Cluster.Live()[0].POP3, user)
			return err == nil && m.Quit() == nil
		})
		return len(left) == 0
	}, func() string { return fmt.Sprintf("the maildrops of %v are locked", left) })
}

// more waits until so many more messages have been accepted and so many more maildrops read.
func more(r *kit.BoxRun, load *faults.Load, messages int, rs *readers, drops int64) {
	r.T.Helper()
	accepted, whole := load.Accepted()+messages, rs.whole.Load()+drops
	kit.Eventually(r.T, 2*time.Minute, func() bool {
		return load.Accepted() >= accepted && rs.whole.Load() >= whole
	}, func() string {
		return fmt.Sprintf("%d messages accepted of %d, maildrops to read: %d\n%s%s\n%s",
			load.Accepted(), accepted, whole, rs.report(), load.Failures(), r.Chronicle())
	})
}

// fatten imports messages into one mailbox until its shard is larger than the log that a leader
// keeps for members that are behind, so that a new member must take over the state as a whole. It
// returns a node that has the shard.
func fatten(r *kit.BoxRun, user string) (sent []mailtest.Sent, holder *faults.Node) {
	r.T.Helper()
	gen := &mailtest.Generator{Seed: 7, Run: "fat", Domains: []string{kit.BoxDomain},
		Size: 256 << 10}
	for part := range 8 {
		var messages []*mailtest.Message
		for i := range 128 {
			m := gen.Message(part*128 + i)
			m.Recipients = []string{user}
			messages = append(messages, m)
			sent = append(sent, mailtest.Sent{ID: m.ID, Accepted: m.Recipients, Sum: m.Sum})
		}
		store(r.Run, r.Cluster.Live()[0], user, messages...)
	}
	s, err := r.Cluster.Status(r.Ctx)
	if err != nil {
		r.T.Fatal(err)
	}
	groups := kit.ShardsOf(s)
	fattest := slices.MaxFunc(groups, func(a, b faults.Group) int {
		return int(a.Messages - b.Messages)
	})
	r.T.Logf("shard %d has %d messages, and is on %v", *fattest.Shard, fattest.Messages,
		fattest.Voters)
	return sent, r.Cluster.Named(fattest.Voters[0])
}

// TestShardsMoveUnderLoad: while mail comes in and is read, a node joins, one is drained and
// removed, and one dies and is replaced. The shards move; their moves are to be seen; then each
// message is in its mailboxes once, read at every node. In the short form 120 messages a second
// come in; POSTROAD_LONG=1: as many as are taken, and one shard has 256 MiB, which a new member
// takes over as a whole.
func TestShardsMoveUnderLoad(t *testing.T) {
	const shards = 16
	r := kit.StartBoxes(t, "", 3, 40)
	awaitEven(r.Run, shards)
	load := r.StartLoad(faults.LoadOptions{Connections: 8,
		Interval: kit.Pace(8, 10*time.Millisecond), Message: r.Message})
	rs := startReaders(r, 2)
	some := kit.Rounds(100, 300)
	more(r, load, kit.Rounds(100, 500), rs, 20)
	growInSight(r, shards)
	more(r, load, some, rs, 20)
	leaver, sent := r.Cluster.Nodes()[1], []mailtest.Sent(nil)
	if kit.Long() {
		sent, leaver = fatten(r, r.Users[0])
	}
	watch := watchMoves(r)
	r.Shrink(leaver)
	awaitEven(r.Run, shards)
	if phases := watch(); kit.Long() && phases["copies"] == 0 {
		t.Errorf("no state was seen being copied: %v", phases)
	}
	more(r, load, some, rs, 20)
	if err := r.Driver.Do(r.Ctx, faults.Step{Kind: faults.Replace, Node: 1}); err != nil {
		t.Fatalf("%v\n%s", err, r.Chronicle())
	}
	awaitEven(r.Run, shards)
	more(r, load, some, rs, 20)
	load.Stop()
	for _, try := range load.Wait() {
		sent = append(sent, try.Sent)
	}
	rs.end()
	if n := load.GaveUp(); n > 0 {
		t.Errorf("%d messages were taken by no node", n)
	}
	t.Logf("%d messages accepted, %swhat clients met:\n%s", load.Accepted(), rs.report(),
		load.Failures())
	r.Drained(2 * time.Minute)
	awaitUnlocked(r)
	for _, n := range r.Cluster.Nodes() {
		report := mailtest.Compare(sent, r.Read(n), mailtest.Rules{})
		t.Logf("at %s:\n%v", n.Name, report)
		if !report.OK() {
			t.Errorf("at %s the mailboxes have not what was sent to them, each message once",
				n.Name)
		}
	}
}

// growInSight makes a node join, and waits until the shards are spread over it too. Their moves
// must be seen, from before it joins on: all may be at rest when it has.
func growInSight(r *kit.BoxRun, shards int) {
	r.T.Helper()
	watch := watchMoves(r)
	r.Grow()
	awaitEven(r.Run, shards)
	if seen := watch(); seen["catches up"]+seen["copies"]+seen["waits"]+seen["leaves"] == 0 {
		r.T.Error("no move was to be seen")
	}
}

// watchMoves notes what moves are to be seen until the function that it returns is called, which
// tells how often each phase was, and logs what `cluster status` printed once.
func watchMoves(r *kit.BoxRun) func() map[string]int {
	done, ended := make(chan struct{}), make(chan struct{})
	phases, sample := map[string]int{}, ""
	go func() {
		defer close(ended)
		for {
			if s, err := r.Cluster.Status(r.Ctx); err == nil {
				for _, g := range kit.ShardsOf(s) {
					for _, m := range g.Moves {
						if phases[m.Phase]++; m.Phase == "copies" && m.Octets > 0 {
							sample = fmt.Sprintf("shard %d to %s: %d of %d octets", *g.Shard,
								m.Node, m.Octets, m.Of)
						}
					}
				}
			}
			select {
			case <-done:
				return
			case <-r.Ctx.Done():
				return
			case <-time.After(50 * time.Millisecond): // each question is a roll call of all nodes
			}
		}
	}()
	return func() map[string]int {
		close(done)
		<-ended
		r.T.Logf("moves seen: %v %s", phases, sample)
		return phases
	}
}
