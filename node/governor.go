package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/version"
	"github.com/postroad/postroad/operate/admin/api"
)

// governor makes this node what the control state wants it to be: it starts the groups that it is
// to be in and retires those that it is not, makes the changes of members in the groups that it
// leads, and, where it leads the control group, plans. Every step can be repeated, so whatever a
// crash interrupts the next round takes up.
type governor struct {
	n         *node
	kick      chan struct{}
	alive     atomic.Int64 // when the last round began
	work      sync.WaitGroup
	mu        sync.Mutex
	hello     time.Time                     // when a node that has no rows last told others that it runs
	news      time.Time                     // since when the cluster is to be told about this node; zero: it is not
	untold    error                         // why the last try failed, guarded by mu
	searched  string                        // users up to this one have no mailbox
	busy      map[uint64]bool               // groups in which a change is under way
	told      seldom                        // of what failed, guarded by mu
	asked     map[uint64]time.Time          // when leadership was asked back
	since     map[uint64]time.Time          // when retiring was first seen to be due
	suspended uint64                        // the version of the suspensions that was logged
	barred    map[uint64]control.Suspension // which were in it, by serial
}

// governTick is how often the governor looks when nothing tells it to.
const governTick = 500 * time.Millisecond

func newGovernor(n *node) *governor {
	return &governor{n: n, kick: make(chan struct{}, 1), busy: map[uint64]bool{}, asked: map[uint64]time.Time{}, since: map[uint64]time.Time{}}
}

// wake makes it look now.
func (g *governor) wake() {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

func (g *governor) run(ctx context.Context) {
	tick := time.NewTimer(governTick)
	defer tick.Stop()
	for {
		g.n.keepAddresses()
		g.n.notes.Follow()
		g.round(ctx)
		select {
		case <-tick.C:
			tick.Reset(clock.Together(governTick))
		case <-g.kick:
		case <-g.n.control.Changed():
			g.n.port.Recheck()
		case <-ctx.Done():
			g.work.Wait()
			return
		}
	}
}

// thisNode stands in place of a group for work that concerns the node itself.
const thisNode = 0

// do runs a piece of work for a group unless one is under way already. It is tried again soon: that
// it fails is told every few seconds.
func (g *governor) do(group uint64, what string, f func() error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy[group] {
		return
	}
	g.busy[group] = true
	if group != thisNode {
		what = fmt.Sprintf("group %d: %s", group, what)
	}
	g.work.Go(func() {
		err := f()
		tell := err != nil && g.n.background.Err() == nil && !errors.Is(err, control.ErrStale) && !errors.Is(err, cluster.ErrRefused)
		g.mu.Lock()
		delete(g.busy, group)
		if err == nil {
			g.told.forget(what)
		}
		tell = tell && g.told.due(what, time.Now())
		g.mu.Unlock()
		if tell {
			g.n.log.Logf("%s: %v", what, err)
		}
		if err == nil {
			g.wake()
		}
	})
}

func (g *governor) round(ctx context.Context) {
	n := g.n
	g.alive.Store(time.Now().UnixNano())
	g.introduce(ctx)
	hosts := n.control.Hosts(n.self.Member)
	g.start(ctx, hosts)
	g.retire(hosts)
	g.suspensions(ctx)
	g.shards(ctx)
	for _, id := range g.running() {
		group, ok := n.control.Group(id)
		if !ok || group.State == control.GroupRetired {
			continue
		}
		g.judge(group)
		if n.store.Group(id).Leading() != 0 {
			g.lead(ctx, group)
		} else {
			g.askBack(ctx, group)
		}
	}
	if n.store.Group(cluster.ControlGroup).Leading() != 0 {
		g.plan(ctx)
	}
}

// running are the groups that take part, the control group first.
func (g *governor) running() []uint64 {
	ids := []uint64{cluster.ControlGroup}
	for _, p := range g.n.parts() {
		ids = append(ids, p.ID())
	}
	return ids
}

// helloAgain is the time between two tries of a node, which did not join just now, to tell others
// that it runs.
const helloAgain = 3 * time.Second

// introduce tells the cluster about this node, where that is news.
func (g *governor) introduce(ctx context.Context) {
	n := g.n
	if err := n.control.TooOld(protocol); err != nil {
		n.fail(api.Permanent(err)) // at once: the next command may mean something else than this program thinks
		return
	}
	if err := n.control.Admit(n.self.Member, n.self.Incarnation); err != nil {
		n.evicted(err)
		return
	}
	if n.out.Load() != nil {
		return // nobody would hear it
	}
	if err := n.keepsName(); err != nil {
		n.fail(api.Permanent(err)) // after a crash the rows may have come only now
		return
	}
	m, ok := n.control.Member(n.self.Member)
	moved := ok && m.Address != n.cfg.Cluster.Advertise && n.listens.Load()
	if ok && m.State != control.Joining && m.Version == version.Version && m.Protocol == protocol && !moved {
		g.news = time.Time{}
		return
	}
	what := "no node that leads the cluster has heard yet that this one runs, and it tries again"
	if moved {
		what = fmt.Sprintf("the members know this node at %s, and it waits for them to know it at %s", m.Address, n.cfg.Cluster.Advertise)
	}
	g.sayUntold(what)
	if !ok && n.joined == nil {
		if time.Since(g.hello) < helloAgain {
			return // after a crash the rows come by themselves, as a rule
		}
		g.hello = time.Now()
	}
	g.do(thisNode, what, func() error {
		ctx, cancel := context.WithTimeout(ctx, introduceTime)
		defer cancel()
		err := g.introduceAs(ctx, m, moved)
		if api.IsPermanent(err) {
			n.fail(err)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.untold = err
		return err
	})
}

// sayUntold says every few seconds what this node waits for, however long a try takes.
func (g *governor) sayUntold(what string) {
	if g.news.IsZero() {
		g.news = time.Now()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.news) < sayEvery || !g.told.due(what, time.Now()) {
		return
	}
	if g.untold != nil {
		what = fmt.Sprintf("%s: %v", what, g.untold)
	}
	g.n.log.Logf("%s", what)
}

// introduceTime bounds one try.
const introduceTime = 10 * time.Second

// introduceAs tells the cluster about this node, of which the control state has m; a member without
// a number: it has nothing.
func (g *governor) introduceAs(ctx context.Context, m control.Member, moved bool) (err error) {
	n := g.n
	switch {
	case m.ID == 0:
		if err := n.sayHello(ctx); err != nil {
			return err
		}
		return n.heardBack(ctx)
	case moved:
		if err := n.tellAddress(ctx); err != nil {
			return err
		}
	}
	if m.Version != version.Version || m.Protocol != protocol {
		err = n.changes.SetVersion(ctx, m.ID, version.Version, protocol)
	}
	if m.State == control.Joining {
		err = errors.Join(err, n.changes.Activate(ctx, m.ID))
	}
	return err
}

// start makes this node take part in the groups that it is to be in.
func (g *governor) start(ctx context.Context, hosts []control.Group) {
	n := g.n
	fresh := n.store.Group(cluster.ControlGroup).Fresh()
	for _, group := range hosts {
		// After a crash the control rows may be from before this node left a group: what has ended
		// is begun anew only by the word of a state that is known to be new.
		if ended, err := n.store.Group(group.ID).Ended(); err == nil && ended && !fresh {
			continue
		}
		err := n.join(group)
		if errors.Is(err, cluster.ErrLost) {
			n.failed(err)
			return
		}
		if err != nil {
			n.log.Errorf("group %d cannot be started here: %v", group.ID, err)
		}
	}
	if id, ok := n.control.HomeOf(n.self.Member); ok {
		n.home.Store(n.queues.Get(id))
	}
}

// retireAfter is how long a group must be unwanted here before its part is deleted: a node that has
// just started may see an old state.
const retireAfter = 30 * time.Second

// retire deletes what this node holds of groups that have gone elsewhere.
func (g *governor) retire(hosts []control.Group) {
	n := g.n
	fresh := n.store.Group(cluster.ControlGroup).Fresh()
	for _, id := range n.store.GroupIDs() {
		group, p := n.store.Group(id), n.part(id) // nil: it was not wanted when the node started
		wanted := id == cluster.ControlGroup || slices.ContainsFunc(hosts, func(w control.Group) bool { return w.ID == id })
		if wanted || !fresh || slices.Contains(group.Members().Voters, n.self.Member) && group.Leading() != 0 {
			delete(g.since, id)
			continue
		}
		if g.since[id].IsZero() {
			g.since[id] = time.Now()
		}
		if time.Since(g.since[id]) < retireAfter {
			continue
		}
		g.do(id, "retiring", func() error {
			if p == nil {
				return n.retire(id)
			}
			return n.leaveGroup(p)
		})
	}
}

// judge decides whether a group takes mail here: not before it has as many members as it should, or
// once had.
func (g *governor) judge(group control.Group) {
	p := g.n.part(group.ID)
	if p == nil || p.base().group.Leading() == 0 {
		return
	}
	o := p.base()
	voters := len(o.group.Members().Voters)
	enough := voters >= len(group.Voters) && (voters > 1 || g.n.control.Active() < 2)
	o.accepts.Store(group.State == control.GroupServing && (enough || o.accepts.Load()))
}

// lead does what a group's leader has to do next, if anything.
func (g *governor) lead(ctx context.Context, group control.Group) {
	n, r := g.n, g.n.store.Group(group.ID)
	if !n.store.Group(cluster.ControlGroup).Fresh() {
		return // what is desired may be another by now
	}
	now := configuration(r)
	if group.State == control.GroupNew {
		g.do(group.ID, "beginning", func() error { return n.changes.Bootstrapped(ctx, group.ID) })
		return
	}
	if group.Unreported(now) { // read again when no change is under way
		g.do(group.ID, "reporting its members", func() error { return n.changes.Observed(ctx, group.ID, configuration(r)) })
	}
	if change, ok := control.Next(now, n.self.Member, group, r.CaughtUp); ok {
		g.do(group.ID, change.Kind.String(), func() error { return apply(ctx, r, change) })
		return
	}
	h, going := n.queues.Get(group.ID), group.State == control.GroupDraining
	switch {
	case h == nil:
	case going && h.queue.Empty():
		g.do(group.ID, "retiring", func() error {
			if ok, err := h.queue.Seal(ctx); !ok || err != nil {
				return err
			}
			return n.changes.Retire(ctx, group.ID)
		})
	case h.handsOver(going):
		g.do(group.ID, "handing over its mail", func() error { return h.handOver(ctx, group) })
	}
}

func configuration(r *cluster.Group) control.Configuration {
	m := r.Members()
	slices.Sort(m.Voters)
	slices.Sort(m.Nonvoters)
	return control.Configuration{Voters: m.Voters, Nonvoters: m.Nonvoters, Index: m.Index}
}

func apply(ctx context.Context, r *cluster.Group, c control.Change) error {
	switch c.Kind {
	case control.AddNonvoter:
		return r.AddNonvoter(c.Member)
	case control.AddVoter:
		return r.AddVoter(c.Member)
	case control.Demote:
		return r.Demote(c.Member)
	case control.Remove:
		return r.RemoveMember(c.Member)
	}
	return r.Transfer(ctx, c.Member)
}

// askAgain is the least time between two requests for the leadership of the home group.
const askAgain = 2 * time.Second

// askBack asks for the leadership of this node's home group when another leads it.
func (g *governor) askBack(ctx context.Context, group control.Group) {
	n := g.n
	if group.Home != n.self.Member || group.State != control.GroupServing || !slices.Contains(group.Voters, n.self.Member) {
		return
	}
	r := n.store.Group(group.ID)
	leader, ok := r.Leader()
	if !ok || leader == n.self.Member || time.Since(g.asked[group.ID]) < askAgain {
		return
	}
	g.asked[group.ID] = time.Now()
	g.do(group.ID, "asking for its leadership", func() error { return r.AskLeadership(ctx) })
}

func (g *governor) plan(ctx context.Context) {
	n := g.n
	p := control.Plan(n.control, control.Policy{Replicas: n.cfg.Cluster.Replicas, Reachable: n.detector.Reachable})
	if p.Empty() {
		return
	}
	g.do(cluster.ControlGroup, "planning", func() error { return n.changes.Place(ctx, p) })
}
