package cluster

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/logstore"
)

// A member that its group has let go deletes what it holds of it, and may be taken in again, as
// when a shard comes back to a node. A re-added replica has an empty log: if it voted at once it
// could elect a leader that lacks entries that it once acknowledged. The others removed it knowing
// that it had those, and a majority that is older than its removal may still ask for its vote. So
// what a member holds of a group is an incarnation of its replica, with a log of its own in the log
// store. The next incarnation inherits term and vote, and where the log ended. The member is in
// quarantine until it has as much again. It gets there: the leader that takes it in has all that
// was committed, and an entry of its own term.

const (
	retiredKey = "retired" // this incarnation has ended
	leftKey    = "left"    // where the log ended, set with it
	floorKey   = "floor"   // where that of the one before ended

	// a log's number is that of the group, and above that of the incarnation, from 0 on
	incarnationShift = 32
)

// votes are the keys under which raft keeps what must not be forgotten.
var votes = []string{"CurrentTerm", "LastVoteTerm", "LastVoteCand"}

func groupOf(log uint64) uint64 { return log & (1<<incarnationShift - 1) }

// newestLog returns the log of the last incarnation of a group here, or of its first.
func (n *Node) newestLog(group uint64) *logstore.Group {
	newest := group
	for _, id := range n.log.Groups() {
		if groupOf(id) == group {
			newest = max(newest, id)
		}
	}
	return n.log.Group(newest)
}

// holderOf returns the group whose present incarnation has that log; nil: that one is over.
func (n *Node) holderOf(log uint64) *Group {
	if g := n.Group(groupOf(log)); g.log.ID() == log {
		return g
	}
	return nil
}

// Retire ends this member's part in a group: its log and state are deleted. The group's other
// members must have removed this one before, or be gone themselves. If they take it in again, it
// joins with nothing; it never starts the group.
func (n *Node) Retire(id uint64) error {
	g := n.Group(id)
	if err := g.shutdown(); err != nil {
		return err
	}
	if err := g.end(); err != nil {
		return err
	}
	if err := g.state.UncountParts(); err != nil {
		return err
	}
	n.mu.Lock()
	delete(n.mu.groups, id)
	n.mu.Unlock()
	return errors.Join(g.erase(), g.state.Close())
}

// retired reports whether this member has left the group.
func (g *Group) retired() (bool, error) {
	v, err := g.log.Get([]byte(retiredKey))
	return len(v) > 0, err
}

// Ended reports whether this member's part in the group has ended, so that to join it again begins
// another incarnation in it.
func (g *Group) Ended() (bool, error) { return g.retired() }

// end notes that this incarnation is over, and where its log ended.
func (g *Group) end() error {
	left := g.position()
	if err := g.loadDoubts(); err != nil {
		return err
	}
	for _, d := range g.Doubts() {
		if left.before(d.floor()) {
			left = d.floor() // it left again before it had caught up
		}
	}
	return g.log.SetAll(map[string][]byte{retiredKey: []byte(time.Now().UTC().Format(time.RFC3339)),
		leftKey: left.encode()})
}

// erase deletes log and state of an incarnation that has ended. It is repeated at each start, for a
// crash may have come between.
func (g *Group) erase() error {
	first, _ := g.log.FirstIndex()
	last, _ := g.log.LastIndex()
	if first > 0 {
		g.log.Compactable(last)
		if err := g.log.DeleteRange(first, last); err != nil {
			return err
		}
	}
	return g.state.Erase()
}

// revive begins another incarnation after one that has ended. The group has not been started
// since Open, or since Retire.
func (g *Group) revive() error {
	// nothing of the old one may turn up in the new one after a crash
	if err := errors.Join(g.erase(), g.node.state.Flush()); err != nil {
		return err
	}
	old := g.log
	left, err := g.positionAt(leftKey)
	if err != nil {
		return err
	}
	back, err := g.TakenBack()
	if err != nil {
		return err
	}
	if last := g.position(); back == nil && left.before(last) {
		left = last // it was retired by a program that did not note it
	}
	values := map[string][]byte{floorKey: left.encode()}
	for _, key := range votes {
		v, err := old.Get([]byte(key))
		if err != nil {
			return err
		}
		if len(v) > 0 {
			values[key] = v
		}
	}
	next := g.node.log.Group(old.ID() + 1<<incarnationShift)
	if err := next.SetAll(values); err != nil {
		return err
	}
	g.log = next
	g.fsm.jump(0, 0)
	g.state.Renew(next)
	return nil
}

// position is a place in a log.
type position struct{ term, index uint64 }

func (p position) before(o position) bool {
	return p.term < o.term || p.term == o.term && p.index < o.index
}

func (p position) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, p.term), p.index)
}

func (g *Group) positionAt(key string) (p position, err error) {
	v, err := g.log.Get([]byte(key))
	if err == nil && len(v) == 16 {
		p = position{binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])}
	}
	return p, err
}

// position is where this member's log ends, markers counted.
func (g *Group) position() position {
	index, term := g.log.Last()
	if m, err := g.loadMarker(); err == nil && m != nil && m.index > index {
		index, term = m.index, m.term
	}
	return position{term, index}
}

// mayAsk says why this member does not answer a request of raft's, or returns nil. It takes note of
// what a leader says is committed.
func (g *Group) mayAsk(request any) error {
	switch q := request.(type) {
	case *raft.AppendEntriesRequest:
		g.obey(q)
		for old := g.told.Load(); q.LeaderCommitIndex > old &&
			!g.told.CompareAndSwap(old, q.LeaderCommitIndex); old = g.told.Load() {
		}
	case *raft.InstallSnapshotRequest:
		if g.overtakes(q) {
			g.stopTakenBack(min(q.LastLogIndex, g.firstHere()))
		}
	case *raft.TimeoutNowRequest:
		if monotonic() >= g.handing.until.Load() {
			return errNotAsked
		}
		return g.mayCampaign()
	case *raft.RequestVoteRequest:
		return g.mayVote(position{q.LastLogTerm, q.LastLogIndex})
	case *raft.RequestPreVoteRequest:
		return g.mayVote(position{q.LastLogTerm, q.LastLogIndex})
	}
	return nil
}
