package node

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
func (m *mailboxes) Append(number int, d *mailbox.Delivery, done func([]mailbox.Result, error)) {
	a := &appending{m: m, shard: number, d: d, done: done, limit: time.Now().Add(ownerPatience)}
	a.try()
}

// appending is a delivery on its way to the owner of its shard.
type appending struct {
	m      *mailboxes
	shard  int
	d      *mailbox.Delivery
	done   func([]mailbox.Result, error)
	limit  time.Time // of the search for an owner
	wait   time.Duration
	member uint16 // where it is; 0: here
}

func (a *appending) try() {
	var s *mailbox.Store
	switch s, a.member = a.m.owner(a.shard); {
	case s != nil:
		s.Append(a.d, a.answer)
	case a.member != 0:
		a.m.sender(a.member).Append(a.shard, a.d, a.answer)
	default:
		a.answer(nil, errNoOwner)
	}
}

// answer passes on what became of it, or has it tried again where it was refused.
func (a *appending) answer(results []mailbox.Result, err error) {
	if errors.Is(err, mailbox.ErrRefused) && a.m.n.background.Err() == nil {
		if a.member != 0 {
			a.m.wrong(a.shard, a.member)
		}
		if a.wait = min(max(2*a.wait, ownerFirst), ownerMost); time.Now().Add(a.wait).Before(a.limit) {
			time.AfterFunc(a.wait, a.try)
			return
		}
	}
	a.done(results, err)
}

// appendTogether appends deliveries for one shard by one command, in their order
// (mailbox.Store.AppendBatch).
func (m *mailboxes) appendTogether(ctx context.Context, number int, all []*mailbox.Delivery) (results [][]mailbox.Result, err error) {
	err = m.atOwner(ctx, number, func(s *mailbox.Store) (err error) {
		results, err = s.AppendBatch(ctx, all)
		return err
	}, func(call remote.Call) (err error) {
		results, err = remote.AppendBatch(ctx, call, number, all)
		return err
	})
	return results, err
}

// sender takes appends to a member.
func (m *mailboxes) sender(member uint16) *remote.Sender {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.senders[member]
	if s == nil {
		s = remote.NewSender(m.call(member))
		m.senders[member] = s
	}
	return s
}
