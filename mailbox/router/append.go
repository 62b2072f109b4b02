package router

import (
	"context"
	"errors"
	"time"

	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
)

// Append takes a delivery for mailboxes of one shard; it does not block. done is called once.
// ErrUnknown: try again under the same keys. Content.Open may be called several times, one after
// the other.
func (r *Router) Append(shard int, d *mailbox.Delivery, done func([]mailbox.Result, error)) {
	limit := time.Now().Add(OwnerPatience)
	a := &appending{r: r, shard: shard, d: d, done: done, limit: limit}
	a.try()
}

// appending is a delivery on its way to the owner of its shard.
type appending struct {
	r      *Router
	shard  int
	d      *mailbox.Delivery
	done   func([]mailbox.Result, error)
	limit  time.Time // of the search for an owner
	wait   time.Duration
	member uint16 // where it is; 0: here
}

func (a *appending) try() {
	var s *mailbox.Store
	switch s, a.member = a.r.owner(a.shard); {
	case s != nil:
		s.Append(a.d, a.answer)
	case a.member != 0:
		a.r.sender(a.member).Append(a.shard, a.d, a.answer)
	default:
		a.answer(nil, errNoOwner)
	}
}

// answer passes on what became of it, or has it tried again where it was refused.
func (a *appending) answer(results []mailbox.Result, err error) {
	if errors.Is(err, mailbox.ErrRefused) && a.r.o.Background.Err() == nil {
		if a.member != 0 {
			a.r.wrong(a.shard, a.member)
		}
		a.wait = min(max(2*a.wait, ownerFirst), ownerMost)
		if time.Now().Add(a.wait).Before(a.limit) {
			time.AfterFunc(a.wait, a.try)
			return
		}
	}
	a.done(results, err)
}

// AppendBatch appends deliveries for one shard by one command, in their order
// (mailbox.Store.AppendBatch).
func (r *Router) AppendBatch(
	ctx context.Context, shard int, all []*mailbox.Delivery,
) (results [][]mailbox.Result, err error) {
	err = r.atOwner(ctx, shard, func(s *mailbox.Store) (err error) {
		results, err = s.AppendBatch(ctx, all)
		return err
	}, func(call remote.Call) (err error) {
		results, err = remote.AppendBatch(ctx, call, shard, all)
		return err
	})
	return results, err
}

// sender takes appends to a member.
func (r *Router) sender(member uint16) *remote.Sender {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.senders[member]
	if s == nil {
		s = remote.NewSender(r.call(member))
		r.senders[member] = s
	}
	return s
}
