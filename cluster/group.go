package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/postroad/postroad/cluster/logstore"
	"github.com/postroad/postroad/cluster/state"
	"github.com/postroad/postroad/internal/rows"
)

// ErrRefused: the proposal was refused before it entered the log; nothing happened. Any other error
// of Propose means that the outcome is unknown: it may have been applied, or may yet be.
var ErrRefused = rows.ErrRefused

// ErrNoPart: neither the state nor the log has the part (any more).
var ErrNoPart = state.ErrNoPart

// Group is this node's member of one raft group. It can be read from Node.Group on; Start makes it
// take part. Its methods are safe for use by several goroutines.
type Group struct {
	node    *Node
	id      uint64
	log     *logstore.Group
	state   *state.Rows
	fsm     fsm
	raft    *raft.Raft
	slots   chan struct{} // one for each proposal under way
	running atomic.Bool
	// the term in which this node leads and has applied all before; 0: it does not
	leading atomic.Uint64
	notify  chan bool // from raft
	// to the watcher: lead no more until a transfer has failed; nil: look again
	pause      chan chan struct{}
	tuning     sync.Mutex // of raft's settings
	lease      lease
	hearing    hearing
	quiet      quiet
	telling    telling
	rest       rest
	campaigned campaigned
	// this member has more than one that stood, and waits for nobody (contest.go)
	ahead atomic.Bool
	yield func(context.Context) error // see OnTransfer
	// answers to what was sent before then do not count: a transfer may be under way
	noLease    atomic.Int64
	handing    handing
	transport  raft.Transport
	marked     markedAt
	fetching   sync.Mutex    // one take-over of the state at a time
	told       atomic.Uint64 // the newest entry that a leader said is committed
	quarantine quarantine
	reign      atomic.Pointer[reign] // of the leader that spoke last (reign.go)
	reigned    reign                 // what is on disk of it; owned by raft's main goroutine
	tabling    sync.Mutex            // who changes terms, and what is on disk of it, has it
	terms      atomic.Pointer[Terms] // of this member's log (terms.go)
	leaders    atomic.Pointer[Terms] // of the leader that was compared with last
	fetched    atomic.Pointer[Terms] // of the leader whose state was taken over last
	stopped    atomic.Bool           // for good: a leader lacks what was committed
	// what is on disk of what is known to be committed (takenback.go)
	noted  atomic.Uint64
	ctx    context.Context // ends with stop
	cancel context.CancelFunc
	stop   chan struct{}
	done   sync.WaitGroup
}

// ID returns the group's number.
func (g *Group) ID() uint64 { return g.id }

// Start makes the group take part in raft; if it is new, this node becomes its first member and
// only voter. Exactly one member may do that: all others Join. onLeadership, when set, hears in
// order of every change, on a goroutine of its own: term is not 0 once this node leads and has
// applied everything before; 0 when it does no longer.
func (g *Group) Start(sm StateMachine, onLeadership func(term uint64)) error {
	gone, err := g.retired()
	back, err2 := g.TakenBack()
	// else what was given up was another past of the group (GiveUp)
	if err = errors.Join(err, err2); err == nil && gone && back == nil {
		err = errRetired
	}
	if err != nil {
		return fmt.Errorf("start group %d: %w", g.id, err)
	}
	if err := g.bootstrap(); err != nil {
		return fmt.Errorf("bootstrap group %d: %w", g.id, err)
	}
	return g.Join(sm, onLeadership)
}

// Join makes this member take part in raft with what it has; without anything it waits for the
// group's leader to find it.
func (g *Group) Join(sm StateMachine, onLeadership func(term uint64)) error {
	gone, err := g.retired()
	if gone && err == nil {
		err = g.revive()
	}
	if err != nil {
		return fmt.Errorf("join group %d: %w", g.id, err)
	}
	if e, err := g.TakenBack(); e != nil || err != nil {
		return cmp.Or(err, error(e))
	}
	if err := errors.Join(g.loadKnown(), g.loadTerms(), g.loadDoubts()); err != nil {
		return err
	}
	g.fsm.sm = sm
	if last, _ := g.log.Last(); last == 0 {
		if err := g.node.expectPeers(); err != nil {
			return err
		}
	}
	conf := g.node.raftConfig()
	if err := g.needsOthers(conf); err != nil {
		return err
	}
	if err := g.recall(conf); err != nil {
		return err
	}
	conf.NotifyCh = g.notify
	g.lease.timeout = g.node.opts.HeartbeatTimeout
	if err := g.withholdVotes(); err != nil {
		return err
	}
	g.hearing.g = g
	// a leader that there is gets so long to be heard
	g.hearing.heard.Store(monotonic() - int64(g.lease.timeout) + int64(startTime))
	g.transport = g.node.newTransport(g)
	r, err := raft.NewRaft(conf, &g.fsm, keptLog{g.log, g}, g.log, markers{g},
		g.transport)
	if err != nil {
		return fmt.Errorf("start group %d: %w", g.id, err)
	}
	g.raft = r
	g.running.Store(true)
	g.done.Go(func() { g.watchLeadership(onLeadership) })
	g.quarantine.mu.Lock()
	g.inquireLocked()
	g.quarantine.mu.Unlock()
	return g.campaignNow()
}

func (g *Group) serverID() raft.ServerID { return serverID(g.node.member) }

func (g *Group) self() string { return string(g.serverID()) }

// withholdVotes lets one heartbeat timeout pass after the start of the process before a member with
// a
// past answers anything: it has forgotten to whom it listened, would vote for anybody, and a
// leader's lease may still rest on its last answer.
func (g *Group) withholdVotes() error {
	if last, _ := g.log.Last(); last == 0 && g.log.ID() == g.id || !g.node.HasPeers() {
		return nil
	}
	select {
	case <-time.After(g.node.longest() - time.Since(g.node.opened)):
		return nil
	case <-g.stop:
		return fmt.Errorf("start group %d: %w", g.id, ErrRefused)
	}
}

// bootstrap makes a fresh group's first entry: this node is its only voter.
func (g *Group) bootstrap() error {
	m, err := g.loadMarker()
	if err != nil {
		return err
	}
	gone, err := g.retired()
	if last, _ := g.log.Last(); m != nil || last > 0 || err != nil || gone || g.log.ID() != g.id {
		return err // it has a past, if only one that it gave up
	}
	c := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: g.serverID(),
		Address: raft.ServerAddress(g.serverID())}}}
	first := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration,
		Data: raft.EncodeConfiguration(c)}
	return g.log.Bootstrap([]byte("CurrentTerm"), 1, first)
}

// campaignNow lets a sole voter stand for election at once: there is no leader to hear from. Raft
// looks
// at its timer anew when the time-out is made shorter.
func (g *Group) campaignNow() error {
	c := g.raft.GetConfiguration()
	if err := c.Error(); err != nil {
		return err
	}
	servers := c.Configuration().Servers
	if len(servers) != 1 || servers[0].ID != g.serverID() {
		return nil
	}
	g.campaign()
	return nil
}

// watchLeadership follows raft's notifications. Raft blocks when they are not read.
func (g *Group) watchLeadership(tell func(term uint64)) {
	set := func(term uint64) {
		if g.leading.Swap(term) == term {
			return
		}
		if term != 0 {
			g.node.leaderships.Add(1)
		}
		if tell != nil {
			tell(term)
		}
	}
	look := func(leader bool) {
		set(0)
		if !leader {
			return
		}
		g.brisk()
		term := g.raft.CurrentTerm()
		g.lease.renew(g.serverID(), g.servers())
		if g.raft.Barrier(0).Error() == nil {
			set(term)
		} else if g.raft.State() == raft.Leader {
			// a transfer was under way; it may have failed
			time.AfterFunc(g.lease.timeout, g.resume)
		}
	}
	for {
		select {
		case leader := <-g.notify:
			look(leader)
		case paused := <-g.pause:
			if paused == nil {
				look(g.raft.State() == raft.Leader)
				continue
			}
			set(0)
			close(paused)
		case <-g.stop:
			set(0)
			return
		}
	}
}

// OnTransfer sets what is called before a transfer of the leadership away from this node: it ends
// the owner's work in good order, or refuses by an error. If the transfer fails after all,
// onLeadership hears of the term again. To be set before Start or Join.
func (g *Group) OnTransfer(yield func(context.Context) error) { g.yield = yield }

// Leading returns the term in which this node leads the group, 0 if it does not.
func (g *Group) Leading() uint64 { return g.leading.Load() }

// Holds reports whether this node surely owns the group in that term: it leads, and its lease has
// not ended. It is meant to be asked last before something is done that cannot be undone; it costs
// nanoseconds.
func (g *Group) Holds(term uint64) bool {
	return term != 0 && g.leading.Load() == term && g.lease.holds()
}

// AppliedIndex is the index up to which the state is in the store.
func (g *Group) AppliedIndex() uint64 { return g.fsm.appliedIndex.Load() }

// Propose replicates a command, data and its content parts, and returns what Apply returned. It
// blocks until the command is applied and on stable storage on a majority, or
// Options.ProposeTimeout or ctx end the wait (outcome unknown). At most Options.InFlight proposals
// are under way at once; more wait. Neither data nor parts are copied: they must not change before
// Propose returns, after an unknown outcome never again, and the state machine may hold on to them
// longer (see StateMachine).
func (g *Group) Propose(ctx context.Context, data []byte, parts [][]byte) (any, error) {
	if g.leading.Load() == 0 {
		return nil, fmt.Errorf("%w: this node does not lead group %d", ErrRefused, g.id)
	}
	timer := time.NewTimer(g.node.opts.ProposeTimeout)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrRefused, ctx.Err())
	case <-timer.C:
		return nil, fmt.Errorf("%w: %d proposals are under way", ErrRefused, cap(g.slots))
	case <-g.stop:
		return nil, fmt.Errorf("%w: shutting down", ErrRefused)
	}
	p := g.enqueue(data, parts)
	select {
	case <-p.done:
		return p.result, p.err
	case <-ctx.Done():
		return nil, fmt.Errorf("proposal under way: %w", ctx.Err())
	case <-timer.C:
		return nil, fmt.Errorf("proposal not applied after %v: %w", g.node.opts.ProposeTimeout,
			context.DeadlineExceeded)
	}
}

// proposal is one under way; result and err are set when done is closed.
type proposal struct {
	done   chan struct{}
	result any
	err    error
}

// enqueue hands the proposal to raft. Its slot is given back, and its parts returned, when raft is
// done with it, not when Propose returns.
func (g *Group) enqueue(data []byte, parts [][]byte) *proposal {
	if g.isCalm() {
		g.brisk()
	}
	p := &proposal{done: make(chan struct{})}
	ext := g.log.Lend(parts)
	g.done.Go(func() {
		f := g.raft.ApplyLog(raft.Log{Data: data, Extensions: ext}, g.node.opts.ProposeTimeout)
		if p.err = f.Error(); p.err == nil {
			p.result = f.Response()
		} else if refused(p.err) {
			p.err = fmt.Errorf("%w: %w", ErrRefused, p.err)
		}
		g.log.Return(ext)
		<-g.slots
		close(p.done)
	})
	return p
}

// refused tells the errors that raft gives before a proposal enters its log.
func refused(err error) bool {
	return errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout) ||
		errors.Is(err, raft.ErrLeadershipTransferInProgress)
}

// Barrier returns when everything committed before is applied. Only the leader can tell.
func (g *Group) Barrier(ctx context.Context) error {
	f := g.raft.Barrier(g.node.opts.ProposeTimeout)
	done := make(chan error, 1)
	g.done.Go(func() { done <- f.Error() })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Get reads a row of the applied state.
func (g *Group) Get(key []byte) (value []byte, ok bool, err error) { return g.state.Get(key) }

// Scan calls fn with the rows of [from, to) in order until it returns false; a nil to means the
// end. The slices are valid during the call. It sees the state of one moment.
func (g *Group) Scan(from, to []byte, fn func(k, v []byte) bool) error {
	return g.state.Scan(from, to, fn)
}

// ReadPart appends a content part to buf: from memory while the entry is recent, else from disk,
// checksum verified. Its error wraps ErrNoPart when there is none.
func (g *Group) ReadPart(buf []byte, index uint64, part int) ([]byte, error) {
	return g.state.ReadPart(buf, index, part)
}

// shutdown stops raft. Proposals under way get their end first, if raft comes to it in time.
func (g *Group) shutdown() error {
	if !g.running.Swap(false) {
		return nil
	}
	g.leading.Store(0)
	g.drain(5 * time.Second)
	close(g.stop)
	g.cancel()
	return g.raft.Shutdown().Error()
}

// drain waits, for a while, until no proposal is under way: raft forgets to answer some of those
// that a shutdown interrupts.
func (g *Group) drain(atMost time.Duration) {
	if g.node.failed.Load() {
		return
	}
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	for range cap(g.slots) {
		select {
		case g.slots <- struct{}{}:
		case <-timer.C:
			return
		}
	}
}
