package cluster

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/internal/clock"
)

// compactorLook is the time between two looks of the keeper, at most.
const compactorLook = time.Second

// compactor is the goroutine that keeps the log short: it takes markers, moves what is left in
// almost empty segments, and writes the high-water mark.
type compactor struct {
	n    *Node
	kick chan struct{}
	stop chan struct{}
	done sync.WaitGroup
}

// markedAt is where a group's log was at its last marker. considered is read on the apply
// goroutine.
type markedAt struct {
	octets, index atomic.Uint64
}

func (k *compactor) start(n *Node) {
	k.n, k.kick, k.stop = n, make(chan struct{}, 1), make(chan struct{})
	k.done.Go(k.run)
	k.done.Go(k.watch)
}

// watch gives the node up when a write to the log hangs. It touches no disk itself.
func (k *compactor) watch() {
	tick := time.NewTimer(compactorLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			tick.Reset(clock.Together(compactorLook))
			if took := k.n.log.Writing(); took > k.n.opts.StallLimit {
				k.n.fail(fmt.Errorf("a write to the log has taken %v", took))
			}
		case <-k.stop:
			return
		}
	}
}

func (k *compactor) halt() {
	if k.stop != nil {
		close(k.stop)
		k.done.Wait()
		k.stop = nil
	}
}

func (k *compactor) run() {
	tick := time.NewTimer(compactorLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			tick.Reset(clock.Together(compactorLook))
			k.noteKnown()
			_ = k.n.log.Mark() // an error has latched the store closed and been reported
		case <-k.kick:
		case <-k.stop:
			return
		}
		k.pass()
	}
}

// noteKnown has idle groups write down what is known to be committed: each does so once after its
// last entry.
func (k *compactor) noteKnown() {
	for _, g := range k.n.started() {
		_ = g.noteKnown() // an error has latched the log store closed and been reported
	}
}

func (k *compactor) pass() {
	k.markers()
	if err := k.collect(); err != nil {
		k.n.opts.Logf("collecting garbage in the log: %v", err)
	}
}

// consider is called after each batch applied; it costs little when nothing is due.
func (k *compactor) consider(g *Group) {
	if octets, _ := g.log.Appended(); g.due(octets) {
		select {
		case k.kick <- struct{}{}:
		default:
		}
	}
}

func (g *Group) due(octets uint64) bool {
	return octets-g.marked.octets.Load() >= uint64(g.node.opts.MarkerBytes) ||
		g.AppliedIndex()-g.marked.index.Load() >= g.node.opts.MarkerEntries
}

// idleSegments is how far a group's oldest entry may lie behind the newest segment before the
// group, however idle, gets a marker.
const idleSegments = 8

func (k *compactor) markers() {
	for _, g := range k.n.started() {
		octets, oldest := g.log.Appended()
		behind := oldest != 0 && oldest+idleSegments < k.n.log.Newest()
		if !behind && !g.due(octets) {
			continue
		}
		if err := g.mark(behind, octets); err != nil &&
			!errors.Is(err, raft.ErrNothingNewToSnapshot) {
			k.n.opts.Logf("marker of group %d: %v", g.id, err)
		}
	}
}

// mark takes a marker. An idle group's last entry is raft's own, which snapshots do not count; a
// barrier is counted.
func (g *Group) mark(idle bool, octets uint64) error {
	if idle && g.leading.Load() != 0 {
		if err := g.raft.Barrier(g.node.opts.ProposeTimeout).Error(); err != nil {
			return err
		}
	}
	index := g.AppliedIndex()
	if err := g.leaveTrail(octets, index); err != nil {
		return err
	}
	if err := g.raft.Snapshot().Error(); err != nil {
		return err
	}
	g.marked.octets.Store(octets)
	g.marked.index.Store(index)
	return nil
}

// trailMarkers is how much log, in units of MarkerBytes, is left for followers that were away; one
// that was away for longer takes over the state.
const trailMarkers = 2

// leaveTrail turns octets into the count of entries that raft is to leave behind the marker.
func (g *Group) leaveTrail(octets, index uint64) error {
	if len(g.servers()) < 2 {
		return nil
	}
	entries, written := index-g.marked.index.Load(), octets-g.marked.octets.Load()
	if entries == 0 || entries > index {
		return nil
	}
	left := max(64, trailMarkers*uint64(g.node.opts.MarkerBytes)/max(1, written/entries))
	g.tune(func(c *raft.ReloadableConfig) {
		c.TrailingLogs = min(left, trailMarkers*g.node.opts.MarkerEntries)
	})
	return nil
}

func (n *Node) started() (groups []*Group) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range n.mu.groups {
		if g.running.Load() {
			groups = append(groups, g)
		}
	}
	return groups
}

// collect empties segments while too much of the disk is garbage: what is still referred to is
// written again.
func (k *compactor) collect() error {
	tried := map[uint64]bool{} // once in a pass: damage can keep a segment from emptying
	for !k.stopped() {
		ids := slices.DeleteFunc(k.n.log.Sparse(k.n.opts.GarbageBytes, 4+len(tried)),
			func(id uint64) bool { return tried[id] })
		if len(ids) == 0 {
			break
		}
		for _, id := range ids {
			tried[id] = true
			if err := k.empty(id); err != nil {
				return err
			}
		}
	}
	if len(tried) == 0 {
		return nil
	}
	return k.n.state.Flush()
}

// empty moves what is alive in a segment. What cannot be read stays, and the segment with it.
func (k *compactor) empty(id uint64) error {
	contents, err := k.n.log.Contents(id)
	for len(contents) > 0 && err == nil && !k.stopped() {
		n := 1 // entries of one group
		for n < len(contents) && n < 256 && contents[n].Group == contents[0].Group {
			n++
		}
		if g := k.n.holderOf(contents[0].Group); g != nil { // else nothing of it is alive
			err = g.state.MoveParts(contents[:n])
		}
		contents = contents[n:]
	}
	return err
}

func (k *compactor) stopped() bool {
	select {
	case <-k.stop:
		return true
	default:
		return false
	}
}
