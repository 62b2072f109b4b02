package cluster

import (
	"time"

	"github.com/hashicorp/raft"
)

// raft's own timers. Each follower looks after one to two heartbeat timeouts whether its leader was
// heard, and each leader asks for heartbeats of each of the others at a tenth of that. In a quiet
// group both only back up what this package does: watchLeaders has groups stand, and frames of
// heartbeats go out for as long as raft leads. But each is a wake-up of its own, and an idle node
// had more of these than of all others.
//
// So raft's timers are long while a group is calm: on a voter that hears its leader, and on a
// leader that has written nothing for a while, and whose frames each of the others answers. They
// are short in all other cases, and from before a member is to take over until that is done: no
// election takes longer. A member starts with short ones. raft wants its election timeout to be at
// least the heartbeat timeout, so both change.

// How long raft's timeouts are in a calm group, in heartbeat timeouts. A tenth of a leader's is to
// be more than a frame's interval: then the frames have raft ask (telling.go). Twice that and a
// frame is to be less than raft's lease: they cannot while raft's main loop hangs in the first
// write after a rest, and then raft is to ask by itself in time.
const (
	calmFollower = 8
	calmLeader   = 3
	restTimes    = 2 // heartbeat timeouts without a write, after which a leader may be calm
)

// rest is since when a group's log has not grown. It is for watchLeaders alone.
type rest struct {
	last  uint64
	since int64 // on the process's clock
}

// quiet reports whether the log is as it was some time ago.
func (r *rest) quiet(last uint64, now int64, least time.Duration) bool {
	if last != r.last {
		r.last, r.since = last, now
	}
	return now-r.since >= int64(least)
}

// raftTimeout is raft's own heartbeat and election timeout, where the group is not calm.
func (n *Node) raftTimeout() time.Duration { return n.opts.HeartbeatTimeout * 5 / 4 }

// isCalm reports whether raft's timeouts are the long ones.
func (g *Group) isCalm() bool {
	return g.raft.ReloadableConfig().HeartbeatTimeout > g.node.raftTimeout()
}

// calm gives raft long timeouts, unless a transfer is under way.
func (g *Group) calm(times time.Duration) {
	g.tune(func(c *raft.ReloadableConfig) {
		long := times * g.lease.timeout
		nudged := c.ElectionTimeout == long && c.HeartbeatTimeout > long-time.Millisecond
		if nudged || g.handing.underWay() {
			return
		}
		c.HeartbeatTimeout, c.ElectionTimeout = long, long
	})
}

// brisk gives raft the short timeouts. It looks at its timers at once.
func (g *Group) brisk() {
	g.tune(func(c *raft.ReloadableConfig) {
		if short := g.node.raftTimeout(); c.HeartbeatTimeout > short {
			c.HeartbeatTimeout, c.ElectionTimeout = short, short
		}
	})
}

// nudge has the raft of a calm leader ask for heartbeats now: it does when its timeout becomes
// shorter.
func (g *Group) nudge() {
	g.tune(func(c *raft.ReloadableConfig) {
		if c.HeartbeatTimeout > g.node.raftTimeout() {
			c.HeartbeatTimeout--
		}
	})
}

// leadsCalmly reports whether this member leads, has written nothing for a while, and each of the
// others answers its frames.
func (g *Group) leadsCalmly(now int64) bool {
	last, _ := g.log.Last()
	if !g.rest.quiet(last, now, restTimes*g.lease.timeout) || g.raft.State() != raft.Leader {
		return false
	}
	for _, s := range g.servers() {
		if s.ID == g.serverID() {
			continue
		}
		ago, _, ok := g.lease.contact(s.ID)
		if !ok || ago > g.lease.timeout || g.node.beatsTo(memberOf(s.ID)).Connection() == 0 {
			return false
		}
	}
	return true
}

// tune changes what raft lets be changed while it runs.
func (g *Group) tune(change func(*raft.ReloadableConfig)) {
	g.tuning.Lock()
	defer g.tuning.Unlock()
	old := g.raft.ReloadableConfig()
	c := old
	change(&c)
	if c == old {
		return
	}
	if err := g.raft.ReloadConfig(c); err != nil {
		g.node.opts.Logf("settings of group %d: %v", g.id, err)
	}
}
