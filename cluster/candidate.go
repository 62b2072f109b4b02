package cluster

import (
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/internal/clock"
)

// This file has members stand for election in turn. raft's own timers are random between one and
// two timeouts, and look only then whether a leader was heard: with two followers that is one to
// three timeouts, and often another for two that stand at once. Here one goroutine of the node
// knows when each group's leader was heard last, and has raft stand just then. The voters stand one
// after the other, in an order that differs from group to group: the first wins, and the next one
// only stands if it did not. raft's timers are longer, and for what goes wrong (pace.go).

const (
	rankShare     = 5                      // of a heartbeat timeout, between two that stand
	campaignAgain = 20 * time.Millisecond  // between two tries to make raft stand
	campaignLook  = 320 * time.Millisecond // the most between two looks
	// of a look: the process stood still, and what leaders said meanwhile may wait to be read
	lateness    = 50 * time.Millisecond
	readingTime = 250 * time.Millisecond // for that, at most: twice as long as it stood still
	// for a leader that there is to be heard by a member that has just started
	startTime = 150 * time.Millisecond
)

// longest is what a leader of a version before counts on an answer, and what such a member takes to
// stand.
func (n *Node) longest() time.Duration { return n.opts.HeartbeatTimeout * 4 / 3 }

// watchLeaders has groups stand for election when it is their turn. It ends with the node.
func (n *Node) watchLeaders() {
	timer := time.NewTimer(campaignLook)
	defer timer.Stop()
	due := monotonic() + int64(campaignLook)
	notBefore := int64(0)
	for {
		select {
		case <-timer.C:
		case <-n.look:
		case <-n.closing:
			return
		}
		now := monotonic()
		if late := now - due; late > int64(lateness) {
			notBefore = now + min(2*late, int64(readingTime))
		}
		due = now + int64(clock.Together(campaignLook))
		for _, g := range n.started() {
			at, ok := g.turn()
			switch {
			case !ok && g.leadsCalmly(now):
				g.calm(calmLeader)
			case !ok:
				g.brisk()
			case at <= now && notBefore <= now && g.mayCampaign() == nil:
				g.campaign()
				due = min(due, now+int64(campaignAgain))
			case at <= now && notBefore <= now:
				g.brisk()
			default:
				g.settle(now)
				due = min(due, max(at, notBefore))
			}
		}
		timer.Reset(time.Duration(due - monotonic()))
	}
}

// turn returns when this member is to stand, should it hear no leader until then; false: it is not
// to.
func (g *Group) turn() (at int64, ok bool) {
	if g.raft.State() != raft.Follower {
		return 0, false
	}
	servers := g.servers()
	if !slices.ContainsFunc(
		servers,
		func(s raft.Server) bool { return s.ID == g.serverID() && s.Suffrage == raft.Voter },
	) {
		return 0, false
	}
	_, leader := g.raft.LeaderWithID()
	wait := g.lease.timeout * time.Duration(rank(g.id, servers, leader, g.serverID())) / rankShare
	if g.ahead.Load() {
		wait = 0
	}
	return max(
		g.hearing.heard.Load()+int64(g.lease.timeout),
		g.hearing.bound.Load(),
	) + int64(
		wait,
	), true
}

// rank is how many voters of a group stand before one when that leader is gone.
func rank(group uint64, servers []raft.Server, leader, voter raft.ServerID) int {
	var voters []raft.ServerID
	for _, s := range servers {
		if s.Suffrage == raft.Voter && s.ID != leader {
			voters = append(voters, s.ID)
		}
	}
	slices.Sort(voters)
	i := slices.Index(voters, voter)
	if i < 0 {
		return 0
	}
	return (i + int(group)) % len(voters)
}

// campaign has raft look at its timer: a timeout that is shorter than the one before makes it do
// so.
func (g *Group) campaign() {
	g.campaigned.note(g)
	g.tune(func(c *raft.ReloadableConfig) {
		c.HeartbeatTimeout = min(g.lease.timeout, c.HeartbeatTimeout-1)
		c.ElectionTimeout = g.node.raftTimeout()
	})
}

// settle gives raft the timeouts back that it had before this member stood, and longer ones if a
// leader is heard.
func (g *Group) settle(now int64) {
	g.ahead.Store(false)
	if now-g.hearing.heard.Load() < int64(g.lease.timeout) {
		g.calm(calmFollower)
		return
	}
	g.tune(func(c *raft.ReloadableConfig) {
		c.HeartbeatTimeout = max(c.HeartbeatTimeout, g.node.raftTimeout())
	})
}

// askPreVote is how often a candidate asks a member again that would not vote for it yet.
const askPreVote = 30 * time.Millisecond

// RequestPreVote implements raft.WithPreVote. It is asked again for a while: the other may have
// heard the leader a moment later than this member, or is just starting, and raft itself asks again
// only after one to two timeouts. A member in quarantine asks nobody: it does not come to an
// election that would raise the term.
func (t *transport) RequestPreVote(
	id raft.ServerID,
	target raft.ServerAddress,
	args *raft.RequestPreVoteRequest,
	resp *raft.RequestPreVoteResponse,
) error {
	g := t.g
	if err := g.mayCampaign(); err != nil {
		return err
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for end := monotonic() + int64(g.lease.timeout); ; {
		*resp = raft.RequestPreVoteResponse{}
		err := t.NetworkTransport.RequestPreVote(id, target, args, resp)
		if err == nil && (resp.Granted || resp.Term > args.Term) {
			return nil
		}
		if monotonic() >= end || !g.running.Load() || g.raft.State() != raft.Candidate ||
			g.raft.CurrentTerm()+1 != args.Term {
			return err
		}
		pause.Reset(askPreVote)
		select {
		case <-pause.C:
		case <-g.stop:
			return err
		}
	}
}
