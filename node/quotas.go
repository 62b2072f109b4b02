package node

import (
	"context"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// A mailbox is made with the quotas and the retention that the directory says, and `user set`
// changes both places. What else changes users, imports and outside lists, may change a hundred
// thousand at once, and the owner of a mailbox may be away just then: so each node compares the
// mailboxes of the shards that it owns with the directory, when that has changed.

// quotasEvery is the time between two looks whether anything has changed.
const quotasEvery = time.Minute

// quotasPage is how many mailboxes are read at a time.
const quotasPage = 500

// compared says of a shard with what its quotas were compared last.
type compared struct {
	term    uint64 // of the shard's ownership
	changes uint64 // of the directory
}

// followQuotas gives mailboxes the quotas of the directory.
func (n *node) followQuotas(ctx context.Context) {
	last := map[int]compared{} // by shard
	tick := time.NewTicker(quotasEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		n.compareQuotas(ctx, last)
	}
}

// compareQuotas compares the shards that this node owns, if they or the directory have changed.
func (n *node) compareQuotas(ctx context.Context, last map[int]compared) {
	for number := range n.boxes.Shards() {
		h := n.shard(number)
		if h == nil || !h.Owned() {
			delete(last, number)
			continue
		}
		now := compared{h.term.Load(), n.users.Changes()}
		if last[number] == now {
			continue
		}
		if err := n.quotasOf(ctx, h.store); err != nil {
			n.log.Logf("shard %d: not all mailboxes have the quotas of their users yet: %v", number,
				err)
			continue
		}
		last[number] = now
	}
}

// quotasOf compares the mailboxes of one shard. Those without a user keep what they have.
func (n *node) quotasOf(ctx context.Context, s *mailbox.Store) error {
	for after := ""; ; {
		page, err := s.Mailboxes(after, quotasPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			box := &page[i]
			want, ok := n.mailboxSettings(box.Address)
			if !ok || want == box.Settings {
				continue
			}
			if err := s.SetSettings(ctx, box.Ref, want); err != nil {
				return err
			}
		}
		after = page[len(page)-1].Address
	}
}
