package router

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// quotas are what the owners of other nodes' shards said lately of their mailboxes, for RCPT, which
// does not wait.
type quotas struct {
	mu     sync.Mutex
	known  map[string]quota
	asking int
}

type quota struct {
	box   mailbox.Mailbox
	err   error // ErrNoMailbox
	asked time.Time
}

const (
	maxQuotas   = 10_000
	maxAsking   = 16
	quotaFresh  = 15 * time.Second
	quotaAnswer = 5 * time.Second
)

// Room reports, without waiting for anything, whether so many octets would fit a mailbox: ErrFull,
// ErrNoMailbox, or nil, also when that is not known here. What it says may be a little old; the
// append decides.
func (r *Router) Room(address string, size int64) error {
	shard, err := r.Shard(address)
	if err != nil {
		return nil
	}
	c := r.copyOf(shard)
	if c == nil {
		return r.remoteRoom(address, size)
	}
	// A copy without a leader hears no news: the shard may have moved away, and this copy be about
	// to be deleted.
	if _, ok := c.Leader(); !ok {
		return r.remoteRoom(address, size)
	}
	err = c.Store().Room(address, size)
	if errors.Is(err, mailbox.ErrFull) || errors.Is(err, mailbox.ErrNoMailbox) {
		return err
	}
	return nil
}

// remoteRoom answers from what was heard, and asks again if that was a while ago.
func (r *Router) remoteRoom(address string, size int64) error {
	q := &r.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	known := q.known[address]
	if time.Since(known.asked) > quotaFresh && q.asking < maxAsking {
		q.asking++
		known.asked = time.Now()
		q.keep(address, known)
		go r.askQuota(address)
	}
	if known.err == nil && known.box.Hard > 0 && known.box.Bytes+size > known.box.Hard {
		return mailbox.ErrFull
	}
	return known.err
}

// keep notes what is known of a mailbox, in the place of any other when there are many. The caller
// has locked q.mu.
func (q *quotas) keep(address string, known quota) {
	if _, there := q.known[address]; !there && len(q.known) >= maxQuotas {
		for other := range q.known {
			delete(q.known, other)
			break
		}
	}
	q.known[address] = known
}

func (r *Router) askQuota(address string) {
	ctx, cancel := context.WithTimeout(r.o.Background, quotaAnswer)
	defer cancel()
	box, err := r.Mailbox(ctx, address)
	q := &r.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asking--
	switch {
	case err == nil:
		q.keep(address, quota{box: box, asked: time.Now()})
	case errors.Is(err, mailbox.ErrNoMailbox):
		q.keep(address, quota{err: mailbox.ErrNoMailbox, asked: time.Now()})
	}
}
