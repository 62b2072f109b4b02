package member

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
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/clock"
)

// Group is what a Reconciler needs of a raft group; a *cluster.Group is one.
type Group interface {
	// Leading returns the term in which this node leads the group; 0: it does not.
	Leading() uint64
	// Leader returns who leads, as far as this node knows.
	Leader() (member uint16, ok bool)
	// Fresh reports whether what this node has applied is known to be new.
	Fresh() bool
	// Ended reports whether this node left the group before.
	Ended() (bool, error)
	Members() cluster.Members
	// CaughtUp reports whether a member answers and has nearly all entries; only the leader knows.
	CaughtUp(member uint16) bool

	AddNonvoter(member uint16) error
	AddVoter(member uint16) error
	Demote(member uint16) error
	RemoveMember(member uint16) error
	Transfer(ctx context.Context, to uint16) error
	AskLeadership(ctx context.Context) error
}

// Parts are the parts that this node takes in groups, whatever is in those; the control group is
// not one of them.
type Parts interface {
	// Running returns the groups in which this node takes part.
	Running() []uint64
	// Join makes this node take part in a group, if it does not yet.
	Join(g control.Group) error
	// Leave ends this node's part in a group, if it takes one, and deletes what it held of it.
	Leave(group uint64) error
	// Accepts reports whether a group takes here what comes for it, and SetAccepts says whether it
	// may. Both are called only for groups in which this node takes part.
	Accepts(group uint64) bool
	SetAccepts(group uint64, accepts bool)
	// Next returns what this node, which leads the group, has to do next with what is in it, and
	// what that is called; nil: nothing.
	Next(g control.Group) (what string, do func(context.Context) error)
}

// Do does a piece of work for a group, beside the caller and unless another is under way for that
// group. What fails is tried in the next round again.
type Do func(group uint64, what string, work func() error)

// ReconcilerOptions are what a Reconciler needs.
type ReconcilerOptions struct {
	Self    wire.Identity
	Key     string // this node's public key (wire.Credentials.PublicKey)
	State   *control.State
	Changes *control.Editor
	// Group returns this node's member of a group; GroupIDs are those of which it holds something.
	Group    func(id uint64) Group
	GroupIDs func() []uint64
	Parts    Parts
	// Beside does, in each round, what is to be done beside groups that begin and end; nil:
	// nothing.
	Beside func(ctx context.Context, do Do)
	// Replicas is how many voters a group is to have, and Reachable reports whether a member
	// answers: by these a plan is made.
	Replicas  int
	Reachable func(member uint16) bool
	Locator   *Locator
	Notes     *NoteKeeper
	// Joined: this node has joined just now. It does not wait for its rows to come.
	Joined bool
	// Named returns why this node must not go on under its name.
	Named func() error
	// Recheck is called when the state has changed, by which peers are judged.
	Recheck func()
	// Evicted hears, again and again, why the cluster does not have this node any more, and
	// IsEvicted reports whether that is known, from here or elsewhere.
	Evicted   func(why error)
	IsEvicted func() bool
	// Fail ends the process; Lost does so when what a group needs is gone from the disk.
	Fail func(error)
	Lost func(error)

	Logf, Errorf func(format string, args ...any)
}

// Reconciler makes this node what the control state wants it to be: it starts the groups that it is
// to be in and retires those that it is not, makes the changes of members in the groups that it
// leads, and, where it leads the control group, plans. Every step can be repeated, so whatever a
// crash interrupts the next round takes up.
type Reconciler struct {
	o     ReconcilerOptions
	kick  chan struct{}
	began atomic.Int64 // when the last round did
	work  sync.WaitGroup

	// Of Run alone.
	helloed  time.Time            // when a node that has no rows last told others that it runs
	unheard  time.Time            // since when the cluster is to hear of this node; zero: it has
	unwanted map[uint64]time.Time // since when a group is not wanted here
	asked    map[uint64]time.Time // when the leadership of a group was asked back

	mu struct {
		sync.Mutex
		busy    map[uint64]bool // groups for which a piece of work is under way
		logged  throttle        // what failed, or is waited for
		failure error           // of the last try to make the cluster hear of this node
	}
}

// RoundEvery is how often a Reconciler looks when nothing tells it to.
const RoundEvery = 500 * time.Millisecond

// NewReconciler returns a Reconciler that has not looked yet.
func NewReconciler(o ReconcilerOptions) *Reconciler {
	r := &Reconciler{
		o: o, kick: make(chan struct{}, 1),
		unwanted: map[uint64]time.Time{}, asked: map[uint64]time.Time{},
	}
	r.mu.busy = map[uint64]bool{}
	return r
}

// Wake makes it look now.
func (r *Reconciler) Wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// LastRound returns when the last round began; zero: none has.
func (r *Reconciler) LastRound() time.Time {
	at := r.began.Load()
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}

// Run makes one round after the other until ctx ends, and what is under way has.
func (r *Reconciler) Run(ctx context.Context) {
	tick := time.NewTimer(RoundEvery)
	defer tick.Stop()
	for {
		r.o.Locator.follow()
		r.o.Notes.Follow()
		r.round(ctx)
		select {
		case <-tick.C:
			tick.Reset(clock.Together(RoundEvery))
		case <-r.kick:
		case <-r.o.State.Changed():
			r.o.Recheck()
		case <-ctx.Done():
			r.work.Wait()
			return
		}
	}
}

// thisNode stands in place of a group for work that concerns the node itself.
const thisNode = 0

// do is a Do. That a piece of work fails is logged every few seconds.
func (r *Reconciler) do(ctx context.Context, group uint64, what string, work func() error) {
	r.decide(ctx, group, func() (string, func() error) { return what, work })
}

// decide is do for work that follows from what earlier work for the group has changed. It asks what
// is to be done, perhaps nothing, when none is under way: by what was seen before the earlier work
// ended, that would be done once more.
func (r *Reconciler) decide(ctx context.Context, group uint64, next func() (string, func() error)) {
	if !r.begin(group) {
		return
	}
	what, work := next()
	if work == nil {
		r.release(group)
		return
	}
	if group != thisNode {
		what = fmt.Sprintf("group %d: %s", group, what)
	}
	r.work.Go(func() {
		err := work()
		if r.end(ctx, group, what, err) {
			r.o.Logf("%s: %v", what, err)
		}
		if err == nil {
			r.Wake()
		}
	})
}

func (r *Reconciler) begin(group uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.busy[group] {
		return false
	}
	r.mu.busy[group] = true
	return true
}

func (r *Reconciler) release(group uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.busy, group)
}

// end notes that a piece of work has ended, and reports whether that is to be logged.
func (r *Reconciler) end(ctx context.Context, group uint64, what string, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.busy, group)
	if err == nil {
		r.mu.logged.forget(what)
		return false
	}
	if ctx.Err() != nil || errors.Is(err, control.ErrStale) || errors.Is(err, cluster.ErrRefused) {
		return false
	}
	return r.mu.logged.due(what, time.Now())
}

func (r *Reconciler) round(ctx context.Context) {
	r.began.Store(time.Now().UnixNano())
	r.introduce(ctx)
	hosts := r.o.State.Hosts(r.o.Self.Member)
	r.start(hosts)
	r.retire(ctx, hosts)
	if r.o.Beside != nil {
		r.o.Beside(ctx, func(group uint64, what string, work func() error) {
			r.do(ctx, group, what, work)
		})
	}
	for _, id := range r.Running() {
		group, ok := r.o.State.Group(id)
		if !ok || group.State == control.GroupRetired {
			continue
		}
		r.judge(group)
		if r.o.Group(id).Leading() != 0 {
			r.lead(ctx, id)
		} else {
			r.askBack(ctx, group)
		}
	}
	if r.controlGroup().Leading() != 0 {
		r.plan(ctx)
	}
}

func (r *Reconciler) controlGroup() Group { return r.o.Group(cluster.ControlGroup) }

// Running returns the groups in which this node takes part, the control group first.
func (r *Reconciler) Running() []uint64 {
	return append([]uint64{cluster.ControlGroup}, r.o.Parts.Running()...)
}

// start makes this node take part in the groups that it is to be in.
func (r *Reconciler) start(hosts []control.Group) {
	fresh := r.controlGroup().Fresh()
	for _, group := range hosts {
		if group.ID == cluster.ControlGroup {
			continue
		}
		// After a crash the control rows may be from before this node left a group: what has ended
		// is begun anew only by the word of a state that is known to be new.
		if ended, err := r.o.Group(group.ID).Ended(); err == nil && ended && !fresh {
			continue
		}
		err := r.o.Parts.Join(group)
		if errors.Is(err, cluster.ErrLost) {
			r.o.Lost(err)
			return
		}
		if err != nil {
			r.o.Errorf("group %d cannot be started here: %v", group.ID, err)
		}
	}
}

// retireAfter is how long a group must be unwanted here before its part is deleted: a node that has
// just started may see an old state.
const retireAfter = 30 * time.Second

// retire deletes what this node holds of groups that have gone elsewhere.
func (r *Reconciler) retire(ctx context.Context, hosts []control.Group) {
	fresh := r.controlGroup().Fresh()
	for _, id := range r.o.GroupIDs() {
		if !fresh || r.wanted(id, hosts) {
			delete(r.unwanted, id)
			continue
		}
		if r.unwanted[id].IsZero() {
			r.unwanted[id] = time.Now()
		}
		if time.Since(r.unwanted[id]) >= retireAfter {
			r.do(ctx, id, "retiring", func() error { return r.o.Parts.Leave(id) })
		}
	}
}

// wanted reports whether this node is to hold a group: by the state, or because it leads that and
// so has to see its own removal through.
func (r *Reconciler) wanted(id uint64, hosts []control.Group) bool {
	if id == cluster.ControlGroup ||
		slices.ContainsFunc(hosts, func(w control.Group) bool { return w.ID == id }) {
		return true
	}
	group := r.o.Group(id)
	return slices.Contains(group.Members().Voters, r.o.Self.Member) && group.Leading() != 0
}

// judge decides whether a group takes here what comes for it: not before it has as many members as
// it should, or once had.
func (r *Reconciler) judge(group control.Group) {
	raft, parts := r.o.Group(group.ID), r.o.Parts
	if group.ID == cluster.ControlGroup || raft.Leading() == 0 {
		return
	}
	voters := len(raft.Members().Voters)
	enough := voters >= len(group.Voters) && (voters > 1 || r.o.State.Active() < 2)
	parts.SetAccepts(group.ID, group.State == control.GroupServing &&
		(enough || parts.Accepts(group.ID)))
}

// lead does what a group's leader has to do next, if anything.
func (r *Reconciler) lead(ctx context.Context, id uint64) {
	if !r.controlGroup().Fresh() {
		return // what is desired may be another by now
	}
	r.decide(ctx, id, func() (what string, work func() error) {
		group, ok := r.o.State.Group(id)
		if !ok {
			return "", nil
		}
		return r.next(ctx, group)
	})
}

// next returns what the leader of a group has to do next, and what that is called; nil: nothing.
func (r *Reconciler) next(ctx context.Context, group control.Group) (string, func() error) {
	raft := r.o.Group(group.ID)
	now := configuration(raft)
	if group.State == control.GroupNew {
		return "beginning", func() error { return r.o.Changes.Bootstrapped(ctx, group.ID) }
	}
	if group.Unreported(now) { // read again when no change is under way
		return "reporting its members", func() error {
			return r.o.Changes.Observed(ctx, group.ID, configuration(raft))
		}
	}
	if change, ok := control.Next(now, r.o.Self.Member, group, raft.CaughtUp); ok {
		return change.Kind.String(), func() error { return apply(ctx, raft, change) }
	}
	if group.ID == cluster.ControlGroup {
		return "", nil
	}
	what, do := r.o.Parts.Next(group)
	if do == nil {
		return "", nil
	}
	return what, func() error { return do(ctx) }
}

func configuration(g Group) control.Configuration {
	m := g.Members()
	slices.Sort(m.Voters)
	slices.Sort(m.Nonvoters)
	return control.Configuration{Voters: m.Voters, Nonvoters: m.Nonvoters, Index: m.Index}
}

func apply(ctx context.Context, g Group, c control.Change) error {
	switch c.Kind {
	case control.AddNonvoter:
		return g.AddNonvoter(c.Member)
	case control.AddVoter:
		return g.AddVoter(c.Member)
	case control.Demote:
		return g.Demote(c.Member)
	case control.Remove:
		return g.RemoveMember(c.Member)
	}
	return g.Transfer(ctx, c.Member)
}

// askAgain is the least time between two requests for the leadership of the home group.
const askAgain = 2 * time.Second

// askBack asks for the leadership of this node's home group when another leads it.
func (r *Reconciler) askBack(ctx context.Context, group control.Group) {
	self := r.o.Self.Member
	if group.Home != self || group.State != control.GroupServing ||
		!slices.Contains(group.Voters, self) {
		return
	}
	raft := r.o.Group(group.ID)
	leader, ok := raft.Leader()
	if !ok || leader == self || time.Since(r.asked[group.ID]) < askAgain {
		return
	}
	r.asked[group.ID] = time.Now()
	r.do(ctx, group.ID, "asking for its leadership", func() error {
		return raft.AskLeadership(ctx)
	})
}

func (r *Reconciler) plan(ctx context.Context) {
	policy := control.Policy{Replicas: r.o.Replicas, Reachable: r.o.Reachable}
	r.decide(ctx, cluster.ControlGroup, func() (string, func() error) {
		p := control.Plan(r.o.State, policy)
		if p.Empty() {
			return "", nil
		}
		return "planning", func() error { return r.o.Changes.Place(ctx, p) }
	})
}
