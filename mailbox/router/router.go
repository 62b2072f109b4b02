// Package router makes all mailboxes of the cluster one store, wherever they are. Each call goes to
// the owner of the mailbox's shard, on this node or another: appends, look-ups, POP3's locks, what
// becomes of dedup records. It finds the owner by what this node's own copy of the shard knows, or
// by asking the shard's voters in turn.
//
// The package knows no raft, no sockets and no queue: who is where, what this node has and how
// another member is asked are Options.
package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
)

// Placement says where the groups of the cluster are; a *control.State is one. Its methods are
// called often, by several goroutines, and do not block.
type Placement interface {
	// Shards are the groups that have the mailboxes, by the number of the shard. 0: that one has no
	// group now. Empty: the cluster has no mailboxes yet.
	Shards() []uint64
	Group(id uint64) (control.Group, bool)
	Groups() []control.Group
}

// Copy is this node's copy of a shard, as which it can become the shard's owner.
type Copy interface {
	// Store is the shard as this node has applied it.
	Store() *mailbox.Store
	// Owned reports whether this node surely owns the shard, and takes mail for it.
	Owned() bool
	// Leader returns the member that leads the shard's group, if this node knows of one.
	Leader() (member uint16, known bool)
}

// Options are what a Router needs of its node. All are required.
type Options struct {
	// Member is this node's number.
	Member uint16
	// Placement says which groups the shards are, and which members have them.
	Placement Placement
	// Held returns the copy of a shard's group that this node has; nil: it has none.
	Held func(group uint64) Copy
	// Call makes a request to another member, as remote.Call says.
	Call func(
		ctx context.Context,
		member uint16,
		path string,
		body io.Reader,
		read func(io.Reader) error,
	) error
	// Pending says which recipients a queue group has still to deliver: for each record a 1, or 0.
	// An error: this node does not own the group.
	Pending func(group uint64, records []mailbox.DedupRecord) ([]byte, error)
	// Settings are what the directory says of a mailbox that is to be made; false: it is nobody's.
	Settings func(address string) (mailbox.Settings, bool)
	// Background ends when the node stops. What nobody waits for ends with it.
	Background context.Context
	// Logf writes a line into the log.
	Logf func(format string, args ...any)
}

// Router is all mailboxes of the cluster. While a shard has no owner, as during an election, one is
// looked for again and again, for OwnerPatience. Safe for use by several goroutines. ErrRefused: no
// owner was found in time, and nothing happened; ErrUnknown: it may have happened.
type Router struct {
	o Options

	mu      sync.Mutex
	senders map[uint16]*remote.Sender // by member
	// guesses are of the shards of which this node has no copy: which of a shard's voters was last
	// found to own it.
	guesses map[int]int
	forgets forgets
	quotas  quotas
	unlocks unlocks
}

// New returns the mailboxes of a cluster. Run does what is to be done for them from time to time.
func New(o Options) *Router {
	return &Router{
		o: o, senders: map[uint16]*remote.Sender{}, guesses: map[int]int{},
		quotas: quotas{known: map[string]quota{}},
	}
}

// OwnerPatience is how long an owner is looked for. An election takes some three seconds.
const OwnerPatience = 8 * time.Second

// Pauses between two looks for an owner.
const (
	ownerFirst = 20 * time.Millisecond
	ownerMost  = 500 * time.Millisecond
)

var (
	errNoShards = fmt.Errorf("%w: the cluster has no mailboxes yet", mailbox.ErrRefused)
	errNoOwner  = fmt.Errorf("%w: their shard has no owner now", mailbox.ErrRefused)
)

// Shards is the number of shards, a constant of the cluster; 0: there are none yet.
func (r *Router) Shards() int { return len(r.o.Placement.Shards()) }

// Shard is the number of the shard that has a mailbox.
func (r *Router) Shard(address string) (int, error) {
	if n := r.Shards(); n > 0 {
		return mailbox.Shard(address, n), nil
	}
	return 0, errNoShards
}

// copyOf returns this node's copy of a shard; nil: it has none.
func (r *Router) copyOf(shard int) Copy {
	groups := r.o.Placement.Shards()
	if shard < 0 || shard >= len(groups) || groups[shard] == 0 {
		return nil
	}
	return r.o.Held(groups[shard])
}

// Held is the copy of a shard that this node has (remote.Shards); nil: it has none.
func (r *Router) Held(shard int) *mailbox.Store {
	if c := r.copyOf(shard); c != nil {
		return c.Store()
	}
	return nil
}

// Owned is a shard that this node surely owns (remote.Shards); nil: it does not.
func (r *Router) Owned(shard int) *mailbox.Store {
	if c := r.copyOf(shard); c != nil && c.Owned() {
		return c.Store()
	}
	return nil
}

// owner finds the owner of a shard: this node, whose store it returns, or another member, 0 when
// none is known.
func (r *Router) owner(shard int) (here *mailbox.Store, member uint16) {
	if c := r.copyOf(shard); c != nil {
		if c.Owned() {
			return c.Store(), 0
		}
		switch leader, known := c.Leader(); {
		case leader == r.o.Member: // it does not serve yet, or its lease has ended
			return nil, 0
		case known:
			return nil, leader
		}
		// There is an election, or the shard has moved away and this copy is about to be deleted:
		// others may know.
	}
	voters := r.voters(shard)
	if len(voters) == 0 {
		return nil, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return nil, voters[r.guesses[shard]%len(voters)]
}

// voters are the other members that have a shard.
func (r *Router) voters(shard int) []uint16 {
	groups := r.o.Placement.Shards()
	if shard < 0 || shard >= len(groups) {
		return nil
	}
	g, _ := r.o.Placement.Group(groups[shard])
	voters := g.Observed.Voters
	if len(voters) == 0 {
		voters = g.Voters
	}
	self := func(id uint16) bool { return id == r.o.Member }
	return slices.DeleteFunc(slices.Clone(voters), self)
}

// wrong notes that a member does not own a shard, if it was asked by a guess.
func (r *Router) wrong(shard int, member uint16) {
	voters := r.voters(shard)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(voters) > 0 && voters[r.guesses[shard]%len(voters)] == member {
		r.guesses[shard]++
	}
}

// atOwner does something at the owner of a shard, here or at another member; again while it is
// refused.
func (r *Router) atOwner(
	ctx context.Context,
	shard int,
	here func(*mailbox.Store) error,
	there func(remote.Call) error,
) error {
	limit := time.Now().Add(OwnerPatience)
	for wait := ownerFirst; ; wait = min(2*wait, ownerMost) {
		err := errNoOwner
		if s, member := r.owner(shard); s != nil {
			err = here(s)
		} else if member != 0 {
			if err = there(r.call(member)); errors.Is(err, mailbox.ErrRefused) {
				r.wrong(shard, member)
			}
		}
		if !errors.Is(err, mailbox.ErrRefused) || time.Now().Add(wait).After(limit) ||
			!clock.Pause(ctx, wait) {
			return err
		}
	}
}

// call makes requests to a member.
func (r *Router) call(member uint16) remote.Call {
	return func(
		ctx context.Context, path string, body io.Reader, read func(io.Reader) error,
	) error {
		return r.o.Call(ctx, member, path, body, read)
	}
}

// do makes a request of the owner of a shard.
func (r *Router) do(ctx context.Context, q *remote.Request) (reply remote.Reply, err error) {
	err = r.atOwner(ctx, q.Shard, func(s *mailbox.Store) error {
		reply = remote.Do(ctx, s, q)
		return reply.Err()
	}, func(call remote.Call) (err error) {
		err = call(ctx, remote.PathVerb, q.Body(), func(from io.Reader) (err error) {
			reply, err = remote.ReadReply(from)
			return err
		})
		switch {
		case err == nil:
			return reply.Err()
		case errors.Is(err, mailbox.ErrRefused):
			return err
		case q.Repeatable() && ctx.Err() == nil:
			return again{err}
		}
		return fmt.Errorf("%w: %w", mailbox.ErrUnknown, err)
	})
	if lost := (again{}); errors.As(err, &lost) {
		err = fmt.Errorf("%w: %w", mailbox.ErrUnknown, lost.error)
	}
	return reply, err
}

// again is a failure on the way there, or back, of a request that may be repeated.
type again struct{ error }

func (again) Is(target error) bool { return target == mailbox.ErrRefused }

// doAt makes a request about a mailbox. The first mailbox of all waits for the shards.
func (r *Router) doAt(
	ctx context.Context, address string, q remote.Request,
) (reply remote.Reply, err error) {
	limit := time.Now().Add(OwnerPatience)
	for q.Makes() && r.Shards() == 0 && time.Now().Before(limit) && clock.Pause(ctx, ownerMost) {
	}
	if q.Shard, err = r.Shard(address); err != nil {
		return reply, err
	}
	return r.do(ctx, &q)
}
