package e2e

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

func (r *boxRun) startReaders(n int) *readers {
	ctx, stop := context.WithCancel(r.ctx)
	rs := &readers{stop: stop, ended: map[string]int{}}
	for i := range n {
		rs.work.Go(func() {
			for k := i; ctx.Err() == nil; k += n {
				live := r.Cluster.Live()
				if _, err := readMaildrop(live[k%len(live)].POP3, r.users[k*7%len(r.users)]); err != nil {
					rs.early(err)
				} else {
					rs.whole.Add(1)
				}
			}
		})
	}
	r.t.Cleanup(rs.end)
	return rs
}

func (rs *readers) end() {
	rs.stop()
	rs.work.Wait()
}

// awaitUnlocked waits until no maildrop is locked: the lock of a session whose node died lasts for
// another minute.
func (r *boxRun) awaitUnlocked() {
	r.t.Helper()
	left := slices.Clone(r.users)
	eventually(r.t, 2*time.Minute, func() bool {
		left = slices.DeleteFunc(left, func(user string) bool {
			m, err := openMaildrop(r.Cluster.Live()[0].POP3, user)
			return err == nil && m.quit() == nil
		})
		return len(left) == 0
	}, func() string { return fmt.Sprintf("the maildrops of %v are locked", left) })
}

// more waits until so many more messages have been accepted and so many more maildrops read.
func (r *boxRun) more(load *faults.Load, messages int, rs *readers, drops int64) {
	r.t.Helper()
	accepted, whole := load.Accepted()+messages, rs.whole.Load()+drops
	eventually(r.t, 2*time.Minute, func() bool { return load.Accepted() >= accepted && rs.whole.Load() >= whole }, func() string {
		return fmt.Sprintf("%d messages accepted of %d, maildrops to read: %d\n%s%s\n%s", load.Accepted(), accepted, whole, rs.report(), load.Failures(), r.chronicle())
	})
}

// fatten imports messages into one mailbox until its shard is larger than the log that a leader
// keeps for members that are behind, so that a new member must take over the state as a whole. It
// returns a node that has the shard.
func (r *boxRun) fatten(user string) (sent []mailtest.Sent, holder *faults.Node) {
	r.t.Helper()
	gen := &mailtest.Generator{Seed: 7, Run: "fat", Domains: []string{boxDomain}, Size: 256 << 10}
	for part := range 8 {
		var messages []*mailtest.Message
		for i := range 128 {
			m := gen.Message(part*128 + i)
			m.Recipients = []string{user}
			messages = append(messages, m)
			sent = append(sent, mailtest.Sent{ID: m.ID, Accepted: m.Recipients, Sum: m.Sum})
		}
		r.store(r.Cluster.Live()[0], user, messages...)
	}
	s, err := r.Cluster.Status(r.ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	groups := shardsOf(s)
	fattest := slices.MaxFunc(groups, func(a, b faults.Group) int { return int(a.Messages - b.Messages) })
	r.t.Logf("shard %d has %d messages, and is on %v", *fattest.Shard, fattest.Messages, fattest.Voters)
	return sent, r.Cluster.Named(fattest.Voters[0])
}

// TestShardsMoveUnderLoad: while mail comes in and is read, a node joins, one is drained and
// removed, and one dies and is replaced. The shards move; their moves are to be seen; then each
// message is in its mailboxes once, read at every node. POSTROAD_LONG=1: one shard has 256 MiB,
// which a new member takes over as a whole.
func TestShardsMoveUnderLoad(t *testing.T) {
	const shards = 16
	r := startBoxes(t, "", 3, 40)
	r.awaitEven(shards)
	load := r.load(faults.LoadOptions{Connections: 8, Interval: 10 * time.Millisecond, Message: r.message})
	rs := r.startReaders(2)
	r.more(load, 500, rs, 20)
	r.growInSight(shards)
	r.more(load, 300, rs, 20)
	leaver, sent := r.Cluster.Nodes()[1], []mailtest.Sent(nil)
	if long() {
		sent, leaver = r.fatten(r.users[0])
	}
	watch := r.watchMoves()
	r.shrink(leaver)
	r.awaitEven(shards)
	if phases := watch(); long() && phases["copies"] == 0 {
		t.Errorf("no state was seen being copied: %v", phases)
	}
	r.more(load, 300, rs, 20)
	if err := r.Driver.Do(r.ctx, faults.Step{Kind: faults.Replace, Node: 1}); err != nil {
		t.Fatalf("%v\n%s", err, r.chronicle())
	}
	r.awaitEven(shards)
	r.more(load, 300, rs, 20)
	load.Stop()
	for _, try := range load.Wait() {
		sent = append(sent, try.Sent)
	}
	rs.end()
	if n := load.GaveUp(); n > 0 {
		t.Errorf("%d messages were taken by no node", n)
	}
	t.Logf("%d messages accepted, %swhat clients met:\n%s", load.Accepted(), rs.report(), load.Failures())
	r.drained(2 * time.Minute)
	r.awaitUnlocked()
	for _, n := range r.Cluster.Nodes() {
		report := mailtest.Compare(sent, r.read(n), mailtest.Rules{})
		t.Logf("at %s:\n%v", n.Name, report)
		if !report.OK() {
			t.Errorf("at %s the mailboxes have not what was sent to them, each message once", n.Name)
		}
	}
}

// growInSight makes a node join, and waits until the shards are spread over it too. Their moves
// must be seen, from before it joins on: all may be at rest when it has.
func (r *boxRun) growInSight(shards int) {
	r.t.Helper()
	watch := r.watchMoves()
	r.grow()
	r.awaitEven(shards)
	if seen := watch(); seen["catches up"]+seen["copies"]+seen["waits"]+seen["leaves"] == 0 {
		r.t.Error("no move was to be seen")
	}
}

// watchMoves notes what moves are to be seen until the function that it returns is called, which
// tells how often each phase was, and logs what `cluster status` printed once.
func (r *boxRun) watchMoves() func() map[string]int {
	done, ended := make(chan struct{}), make(chan struct{})
	phases, sample := map[string]int{}, ""
	go func() {
		defer close(ended)
		for {
			if s, err := r.Cluster.Status(r.ctx); err == nil {
				for _, g := range shardsOf(s) {
					for _, m := range g.Moves {
						if phases[m.Phase]++; m.Phase == "copies" && m.Octets > 0 {
							sample = fmt.Sprintf("shard %d to %s: %d of %d octets", *g.Shard, m.Node, m.Octets, m.Of)
						}
					}
				}
			}
			select {
			case <-done:
				return
			case <-r.ctx.Done():
				return
			case <-time.After(50 * time.Millisecond): // each question is a process of its own
			}
		}
	}()
	return func() map[string]int {
		close(done)
		<-ended
		r.t.Logf("moves seen: %v %s", phases, sample)
		return phases
	}
}
