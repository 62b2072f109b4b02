package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/state"
)

// Members of a group, by their numbers, as of the entry Index of its log.
type Members struct {
	Voters, Nonvoters []uint16
	Index             uint64
}

// Has reports whether the member is one of them, voting or not.
func (m Members) Has(member uint16) bool {
	for _, list := range [][]uint16{m.Voters, m.Nonvoters} {
		for _, id := range list {
			if id == member {
				return true
			}
		}
	}
	return false
}

// Members returns the newest configuration that this member knows of.
func (g *Group) Members() (m Members) {
	for _, s := range g.servers() {
		if id := memberOf(s.ID); s.Suffrage == raft.Voter {
			m.Voters = append(m.Voters, id)
		} else {
			m.Nonvoters = append(m.Nonvoters, id)
		}
	}
	if g.running.Load() {
		if f := g.raft.GetConfiguration(); f.Error() == nil {
			m.Index = f.Index()
		}
	}
	return m
}

func (g *Group) servers() []raft.Server {
	if !g.running.Load() {
		return nil
	}
	f := g.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	return f.Configuration().Servers
}

// changeTimeout bounds the wait until a change of members is in the log.
const changeTimeout = 10 * time.Second

// AddNonvoter makes a member receive the log without counting. Only the leader can.
func (g *Group) AddNonvoter(member uint16) error {
	if err := g.node.expectPeers(); err != nil {
		return err
	}
	return g.changed(g.raft.AddNonvoter(serverID(member), raft.ServerAddress(serverID(member)), 0,
		changeTimeout))
}

// AddVoter makes a member count.
func (g *Group) AddVoter(member uint16) error {
	return g.changed(g.raft.AddVoter(serverID(member), raft.ServerAddress(serverID(member)), 0,
		changeTimeout))
}

// Demote makes a voter a member that does not count.
func (g *Group) Demote(member uint16) error {
	return g.changed(g.raft.DemoteVoter(serverID(member), 0, changeTimeout))
}

// RemoveMember takes a member out.
func (g *Group) RemoveMember(member uint16) error {
	return g.changed(g.raft.RemoveServer(serverID(member), 0, changeTimeout))
}

func (g *Group) changed(f raft.IndexFuture) error {
	if err := f.Error(); err != nil {
		return fmt.Errorf("change the members of group %d: %w", g.id, err)
	}
	g.lease.renew(g.serverID(), g.servers())
	return nil
}

// lagCaughtUp is how many entries a member may be behind and count as caught up.
const lagCaughtUp = 256

// CaughtUp reports whether a member has answered lately and has (almost) all entries. Only the
// leader can tell.
func (g *Group) CaughtUp(member uint16) bool {
	ago, last, ok := g.lease.contact(serverID(member))
	return ok && ago < 2*g.lease.timeout && last+lagCaughtUp >= g.raft.LastIndex()
}

// Transfer hands leadership to another member. The lease ends first: a transfer bypasses what it
// rests on. If it fails, this node leads on, but holds no lease until whoever may have been told to
// campaign for election would have done so.
func (g *Group) Transfer(ctx context.Context, to uint16) error {
	select {
	case g.handing.turn <- struct{}{}:
		defer func() { <-g.handing.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%w: group %d is being handed over: %w", ErrRefused, g.id, ctx.Err())
	}
	if g.leading.Load() == 0 {
		return fmt.Errorf("%w: this node does not lead group %d", ErrRefused, g.id)
	}
	if !g.CaughtUp(to) {
		return fmt.Errorf("%w: member %d is not there, or has not caught up", ErrRefused, to)
	}
	if g.yield != nil {
		if err := g.yield(ctx); err != nil {
			return fmt.Errorf("%w: group %d is not handed over now: %w", ErrRefused, g.id, err)
		}
	}
	paused := make(chan struct{})
	select {
	case g.pause <- paused:
		<-paused
	case <-g.stop:
		return fmt.Errorf("%w: shutting down", ErrRefused)
	case <-ctx.Done():
		return ctx.Err()
	}
	g.noLease.Store(noEnd)
	g.lease.until.Store(0)
	g.handing.begin()
	g.brisk()
	err := g.raft.LeadershipTransferToServer(serverID(to), raft.ServerAddress(serverID(to))).Error()
	safe := monotonic()
	if told := g.handing.end(); told > 0 {
		safe = told + int64(g.node.longest()*5/2) // it may be of a version that takes longer
	}
	g.noLease.Store(safe)
	if err != nil {
		time.AfterFunc(time.Duration(safe-monotonic()), g.resume)
		return fmt.Errorf("hand group %d over to member %d: %w", g.id, to, err)
	}
	return nil
}

// resume makes the watcher look again whether this node leads.
func (g *Group) resume() {
	select {
	case g.pause <- nil:
	case <-g.stop:
	}
}

// Leader returns the member that leads, as far as this one knows.
func (g *Group) Leader() (member uint16, ok bool) {
	if !g.running.Load() {
		return 0, false
	}
	_, id := g.raft.LeaderWithID()
	return memberOf(id), id != ""
}

// Reign is a number that changes with the group's leader and its term; 0: no leader is known.
func (g *Group) Reign() uint64 {
	leader, ok := g.Leader()
	if !ok {
		return 0
	}
	return g.raft.CurrentTerm()<<16 | uint64(leader)
}

// Fresh reports whether this member knows a leader, and its state has all that was committed when a
// leader last said so. It asks nobody: Current does.
func (g *Group) Fresh() bool {
	if _, ok := g.Leader(); !ok {
		return false
	}
	commit := g.raft.CommitIndex()
	if commit == 0 || commit < g.AppliedIndex() || commit < g.told.Load() {
		// heartbeats tell who leads, and not what is committed; a member that is behind knows of it
		// as far as its log goes
		return false
	}
	return g.has(commit)
}

// Status is a group as one of its members sees it. Indexes are of its log.
type Status struct {
	Group   uint64
	Running bool
	Leader  uint16 // 0: none is known
	Leading bool   // this member leads and has applied everything before its term
	Term    uint64
	Last    uint64
	Commit  uint64
	Applied uint64
	Members Members
	// entries that each of the others lacks, those that answered lately; only on the leader
	Lag    map[uint16]uint64
	Silent []uint16 // those that did not; only on the leader
	// members that take the state over from this one, as a whole
	Transfers map[uint16]state.Progress `json:"Giving,omitempty"`
	// why this member is in quarantine: it neither votes nor stands
	Doubts []Doubt `json:",omitempty"`
}

// Status returns what this member knows of its group.
func (g *Group) Status() Status {
	s := Status{Group: g.id, Running: g.running.Load(), Applied: g.AppliedIndex()}
	if !s.Running {
		return s
	}
	s.Leader, _ = g.Leader()
	s.Transfers, s.Doubts = g.state.Transfers(), g.Doubts()
	s.Leading = g.leading.Load() != 0
	s.Term, s.Last, s.Commit, s.Members = g.raft.CurrentTerm(), g.raft.LastIndex(),
		g.raft.CommitIndex(), g.Members()
	if s.Leading {
		s.Lag = map[uint16]uint64{}
		for _, id := range append(append([]uint16(nil), s.Members.Voters...),
			s.Members.Nonvoters...) {
			if id == g.node.member {
				continue
			}
			if ago, last, ok := g.lease.contact(serverID(id)); ok && ago < 3*g.lease.timeout {
				s.Lag[id] = s.Last - min(last, s.Last)
			} else {
				s.Silent = append(s.Silent, id)
			}
		}
	}
	return s
}

var errRetired = errors.New("this node's part in the group has ended for good")
