package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// rooms are what the owners of other nodes' shards said lately of their mailboxes, for RCPT, which
// does not wait.
type rooms struct {
	mu     sync.Mutex
	known  map[string]room
	asking int
}

type room struct {
	box   mailbox.Mailbox
	err   error // ErrNoMailbox
	asked time.Time
}

const (
	maxRooms   = 10_000
	maxAsking  = 16
	roomFresh  = 15 * time.Second
	roomAnswer = 5 * time.Second
)

// Room reports, without waiting for anything, whether so many octets would fit a mailbox: ErrFull,
// ErrNoMailbox, or nil, also when that is not known here. What it says may be a little old; the
// append decides.
func (m *mailboxes) Room(address string, size int64) error {
	number, err := m.shardOf(address)
	if err != nil {
		return nil
	}
	s := m.held(number)
	if s == nil {
		return m.remoteRoom(address, size)
	}
	if _, ok := s.group.Leader(); !ok { // it hears no news: the shard may have moved away, and this copy be about to be deleted
		return m.remoteRoom(address, size)
	}
	if err := s.store.Room(address, size); errors.Is(err, mailbox.ErrFull) || errors.Is(err, mailbox.ErrNoMailbox) {
		return err
	}
	return nil
}

// remoteRoom answers from what was heard, and asks again if that was a while ago.
func (m *mailboxes) remoteRoom(address string, size int64) error {
	r := &m.rooms
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.known[address]
	if time.Since(known.asked) > roomFresh && r.asking < maxAsking {
		r.asking++
		known.asked = time.Now()
		r.keep(address, known)
		go m.askRoom(address)
	}
	if known.err == nil && known.box.Hard > 0 && known.box.Bytes+size > known.box.Hard {
		return mailbox.ErrFull
	}
	return known.err
}

// keep notes what is known of a mailbox, in the place of any other when there are many. The caller
// has locked r.mu.
func (r *rooms) keep(address string, known room) {
	if _, there := r.known[address]; !there && len(r.known) >= maxRooms {
		for other := range r.known {
			delete(r.known, other)
			break
		}
	}
	r.known[address] = known
}

func (m *mailboxes) askRoom(address string) {
	ctx, cancel := context.WithTimeout(m.n.background, roomAnswer)
	defer cancel()
	box, err := m.Mailbox(ctx, address)
	r := &m.rooms
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asking--
	switch {
	case err == nil:
		r.keep(address, room{box: box, asked: time.Now()})
	case errors.Is(err, mailbox.ErrNoMailbox):
		r.keep(address, room{err: mailbox.ErrNoMailbox, asked: time.Now()})
	}
}
