package node

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/postroad/postroad/cluster/owner"
	"github.com/postroad/postroad/mailbox"
)

// shard is this node's member of one group of mailboxes: the applied mailboxes, and while the node
// owns the group all that is done to them.
type shard struct {
	replica
	n      *node
	number int
	store  *mailbox.Store
	term   atomic.Uint64 // of the present term; 0: none
}

// holdShard makes this node take part in a group of mailboxes: that of shard number of so many.
// With first it is the group's first member.
func (n *node) holdShard(id uint64, number, of int, first bool) (*shard, error) {
	s := &shard{n: n, number: number}
	s.replica = n.newReplica(id, s.own)
	s.store = mailbox.New(mailbox.Options{Shard: number, Shards: of, Lease: s.leads})
	s.store.Open(s.group)
	return s, s.join(first, s.store)
}

// shard returns this node's member of a shard; nil: it has none.
func (n *node) shard(number int) *shard {
	groups := n.control.Shards()
	if number < 0 || number >= len(groups) || groups[number] == 0 {
		return nil
	}
	return n.shards.Get(groups[number])
}

// leads reports whether this node surely is the owner.
func (s *shard) leads() bool { return s.group.Holds(s.term.Load()) }

// own makes this node the owner.
func (s *shard) own(ctx context.Context, term uint64) (owner.Term, error) {
	s.term.Store(term)
	if err := s.store.Start(ctx, s.group, nobodyWatches{}); err != nil {
		s.term.Store(0)
		return nil, err
	}
	s.n.log.Logf("group %d: this node is the owner of shard %d of the mailboxes (term %d)", s.ID(),
		s.number, term)
	s.n.reconciler.Wake()
	return &shardTenure{s, term}, nil
}

// shardTenure is one term of ownership of a shard.
type shardTenure struct {
	s    *shard
	term uint64
}

func (t *shardTenure) Number() uint64 { return t.term }

// Finish answers what is pending; what is not by then is tried again elsewhere, under the same
// keys.
func (t *shardTenure) Finish(ctx context.Context) error {
	t.s.store.Stop(ctx)
	return nil
}

func (t *shardTenure) Abandon() { t.s.store.Abandon() }

func (t *shardTenure) Over() { t.s.term.CompareAndSwap(t.term, 0) }

// Stop ends the part that this node takes, and gives the leadership to another member that is up to
// date.
func (s *shard) Stop(ctx context.Context) error {
	_, err := s.Owner.Stop(ctx)
	return errors.Join(err, s.n.handOver(ctx, s.group))
}

// Store is the shard as this node has applied it (router.Copy).
func (s *shard) Store() *mailbox.Store { return s.store }

// Owned reports whether this node surely owns the shard, and takes mail for it (router.Copy).
func (s *shard) Owned() bool { return s.accepts.Load() && s.leads() }

// Leader returns the member that leads the group, as far as this node knows (router.Copy).
func (s *shard) Leader() (member uint16, known bool) { return s.group.Leader() }

// nobodyWatches takes no notice of changes: POP3 shows what there was when a session began.
type nobodyWatches struct{}

func (nobodyWatches) Changed([]mailbox.Change) {}
