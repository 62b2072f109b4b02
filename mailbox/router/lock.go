package router

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/fifo"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
)

// This file is about the maildrop locks of POP3, which are in the memory of the owner of a
// mailbox's shard.

// Lock takes the maildrop lock of a mailbox, which is made if the directory has its user.
func (r *Router) Lock(ctx context.Context, address string) (mailbox.LockID, error) {
	lock := remote.Request{Verb: "lock", Address: address}
	reply, err := r.doAt(ctx, address, lock)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		set, ok := r.o.Settings(address)
		if !ok {
			return reply.Lock, err
		}
		if err = r.Create(ctx, address, set); err == nil {
			reply, err = r.doAt(ctx, address, lock)
		}
	}
	return reply.Lock, err
}

// Renew keeps a lock. ErrStaleLock or ErrRefused: it is lost.
func (r *Router) Renew(ctx context.Context, id mailbox.LockID) error {
	_, err := r.doAt(ctx, id.Mailbox.Address, remote.Request{Verb: "renew", Lock: id})
	return err
}

// Unlock gives a lock back. It does not block, and may be lost: the lock ends by itself.
func (r *Router) Unlock(id mailbox.LockID) {
	shard, err := r.Shard(id.Mailbox.Address)
	if err != nil {
		return
	}
	if s, _ := r.owner(shard); s != nil {
		s.Unlock(id)
		return
	}
	u := &r.unlocks
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.waiting.Len() == maxUnlocks {
		return
	}
	u.waiting.Push(id)
	if u.running < unlockersMost {
		u.running++
		go r.unlockAll()
	}
}

// unlocks are locks on their way back to the nodes that gave them.
type unlocks struct {
	mu      sync.Mutex
	waiting fifo.Queue[mailbox.LockID]
	running int
}

const (
	maxUnlocks    = 10_000
	unlockersMost = 8 // requests at once
	unlockTime    = 5 * time.Second
)

// unlockAll gives back what waits.
func (r *Router) unlockAll() {
	for {
		u := &r.unlocks
		u.mu.Lock()
		if u.waiting.Len() == 0 {
			u.running--
			u.mu.Unlock()
			return
		}
		id := u.waiting.Pop()
		u.mu.Unlock()
		ctx, cancel := context.WithTimeout(r.o.Background, unlockTime)
		_, _ = r.doAt(ctx, id.Mailbox.Address, remote.Request{Verb: "unlock", Lock: id})
		cancel()
	}
}

// updateMost is how many UIDs go in one request.
const updateMost = 50_000

// Update removes messages from the inbox of a locked mailbox. After an error some may be gone and
// others not (RFC 1939 6).
func (r *Router) Update(ctx context.Context, id mailbox.LockID, uids []mailbox.UID) error {
	for some := range slices.Chunk(uids, updateMost) {
		q := remote.Request{Verb: "update", Lock: id, UIDs: some}
		if _, err := r.doAt(ctx, id.Mailbox.Address, q); err != nil {
			return err
		}
	}
	return nil
}
