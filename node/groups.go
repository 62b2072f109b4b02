package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/owner"
)

// replica is this node's member of a group of any kind, as which it can become the group's owner.
type replica struct {
	*owner.Owner
	group *cluster.Group
	// mail may come: as many members as there should be have been seen at some time
	accepts atomic.Bool
}

// yieldTime bounds how long what is under way is waited for when a group is given away.
const yieldTime = 10 * time.Second

// newReplica returns this node's member of a group in which it takes no part yet.
func (n *node) newReplica(
	id uint64, begin func(ctx context.Context, term uint64) (owner.Term, error),
) replica {
	g := n.store.Group(id)
	return replica{group: g, Owner: owner.New(owner.Options{
		Group: g, Begin: begin, YieldTime: yieldTime, StopTime: stopTimeout, Logf: n.log.Logf,
		Errorf: n.log.Errorf,
	})}
}

// join makes this node take part in the group. With first it is the group's first member.
func (r *replica) join(first bool, machine cluster.StateMachine) error {
	join := r.group.Join
	if first {
		join = r.group.Start
	}
	return r.Take(func(led func(term uint64)) error { return join(machine, led) })
}

// base is what all kinds of holdings have.
func (r *replica) base() *replica { return r }

// part is a holding of any kind.
type part interface {
	ID() uint64
	Stop(ctx context.Context) error
	base() *replica
}

// parts are all groups but the control group in which this node takes part.
func (n *node) parts() (all []part) {
	for _, h := range n.queues.List() {
		all = append(all, h)
	}
	for _, s := range n.shards.List() {
		all = append(all, s)
	}
	return all
}

// part returns this node's part in a group; nil: it takes none.
func (n *node) part(group uint64) part {
	if h := n.queues.Get(group); h != nil {
		return h
	}
	if s := n.shards.Get(group); s != nil {
		return s
	}
	return nil
}

// join makes this node take part in a group, if it does not yet.
func (n *node) join(g control.Group) error {
	first := g.State == control.GroupNew && g.Home == n.self.Member
	switch {
	case g.Kind == control.KindQueue && n.queues.Get(g.ID) == nil:
		h, err := n.hold(g.ID, first)
		if err != nil {
			return err
		}
		n.queues.Add(h)
	case g.Kind == control.KindMailbox && n.shards.Get(g.ID) == nil:
		s, err := n.holdShard(g.ID, g.Shard, len(n.control.Shards()), first)
		if err != nil {
			return err
		}
		n.shards.Add(s)
	}
	return nil
}

// leaveGroup ends this node's part in a group that has gone elsewhere, and deletes what it held of
// it.
func (n *node) leaveGroup(p part) error {
	ctx, cancel := context.WithTimeout(context.Background(), yieldTime)
	defer cancel()
	p.Stop(ctx)
	err := n.retire(p.ID())
	switch p := p.(type) { // only now: it may be wanted here again, and begins anew then
	case *holding:
		n.queues.Remove(p)
	case *shard:
		n.shards.Remove(p)
	}
	return err
}

// retire deletes what this node holds of a group in which it does not take part any more.
func (n *node) retire(group uint64) error {
	err := n.store.Retire(group)
	if err == nil {
		n.log.Logf("group %d has gone elsewhere: what this node held of it is deleted", group)
	}
	return err
}

// groups are the parts that a node takes in groups, as its Reconciler sees them (member.Parts).
type groups struct{ n *node }

// Running returns the groups in which this node takes part.
func (g groups) Running() (ids []uint64) {
	for _, p := range g.n.parts() {
		ids = append(ids, p.ID())
	}
	return ids
}

// Join makes this node take part in a group, if it does not yet.
func (g groups) Join(group control.Group) error { return g.n.join(group) }

// Leave ends this node's part in a group, if it takes one, and deletes what it held of it.
func (g groups) Leave(group uint64) error {
	if p := g.n.part(group); p != nil {
		return g.n.leaveGroup(p)
	}
	return g.n.retire(group)
}

// Accepts reports whether mail may come for a group.
func (g groups) Accepts(group uint64) bool {
	p := g.n.part(group)
	return p != nil && p.base().accepts.Load()
}

// SetAccepts says whether mail may come for a group.
func (g groups) SetAccepts(group uint64, accepts bool) {
	if p := g.n.part(group); p != nil {
		p.base().accepts.Store(accepts)
	}
}

// Next returns what is to be done with the mail of a queue group that is to go.
func (g groups) Next(group control.Group) (what string, do func(context.Context) error) {
	h, going := g.n.queues.Get(group.ID), group.State == control.GroupDraining
	switch {
	case h == nil:
	case going && h.queue.Empty():
		return "retiring", func(ctx context.Context) error {
			if ok, err := h.queue.Seal(ctx); !ok || err != nil {
				return err
			}
			return g.n.changes.Retire(ctx, group.ID)
		}
	case h.handsOver(going):
		return "handing over its mail", func(ctx context.Context) error {
			return h.handOver(ctx, group)
		}
	}
	return "", nil
}

// newReconciler makes what has this node take part in the groups that it is to be in.
func (n *node) newReconciler() *member.Reconciler {
	suspensions, shards, secrets := suspensionWatch{n: n}, shardMaker{n: n}, secretWatch{n: n}
	return member.NewReconciler(member.ReconcilerOptions{
		Self: n.self, Key: n.key, State: n.control, Changes: n.changes,
		Group:    func(id uint64) member.Group { return n.store.Group(id) },
		GroupIDs: n.store.GroupIDs,
		Parts:    groups{n},
		Beside: func(ctx context.Context, do member.Do) {
			if id, ok := n.control.HomeOf(n.self.Member); ok {
				n.home.Store(n.queues.Get(id))
			}
			n.gate.Follow()
			suspensions.look(ctx, do)
			shards.look(ctx, do)
			secrets.look(ctx, do)
		},
		Replicas: n.cfg().Cluster.Replicas, Reachable: n.detector.Reachable,
		Locator: n.locator, Notes: n.notes, Joined: n.joined != nil, Named: n.keepsName,
		Recheck: n.port.Recheck, Evicted: n.evicted,
		IsEvicted: func() bool { return n.out.Load() != nil },
		Fail:      n.fail, Lost: n.failed, Logf: n.log.Logf, Errorf: n.log.Errorf,
	})
}
