package mailbox

import (
	"context"
	"errors"
	"sync"
	"time"
)

// locks are the maildrop locks of POP3 (RFC 1939 4) for the whole cluster: they live in the memory
// of the shard's owner and end with its term. Two sessions never have one mailbox at once. A lock
// that was lost while its update was under way, or whose update had an unknown outcome, is given to
// the next session only after a command that makes the update come too late.
type locks struct {
	r  *run
	mu struct {
		sync.Mutex
		held map[uint32]*lockEntry // by the mailbox's number, for it may be renamed
		last uint64
	}
}

type lockEntry struct {
	number  uint64
	until   time.Time
	updates int  // under way
	doubt   bool // an update of this number, or a lower one, may still come
}

// LockID names a lock for good: the term that gave it, and its number.
type LockID struct {
	Mailbox Ref
	Session uint64
	Number  uint64
}

func (l *locks) init(r *run) {
	l.r = r
	l.mu.held = make(map[uint32]*lockEntry)
}

// Lock takes the maildrop lock of a mailbox, or ErrLocked; it is to be renewed in less than
// Options.LockFor.
func (s *Store) Lock(ctx context.Context, address string) (LockID, error) {
	r, err := s.leased()
	if err != nil {
		return LockID{}, err
	}
	box, err := s.Mailbox(address)
	if err != nil {
		return LockID{}, err
	}
	id, fence, err := r.locks.take(box.Ref)
	if err != nil || !fence {
		return id, err
	}
	_, err = r.verb(
		ctx,
		cmdFenceLock,
		func(b []byte) []byte { return appendCount(appendBox(b, box.Ref), int(id.Number)) },
	)
	r.locks.fenced(id, err)
	return id, err
}

// leased returns the run if this member surely leads.
func (s *Store) leased() (*run, error) {
	r := s.run.Load()
	if r == nil || !s.opts.Lease() {
		return nil, errNotOwner
	}
	return r, nil
}

// take gives a lock; fence: after a command that keeps updates of the locks before it out.
func (l *locks) take(box Ref) (id LockID, fence bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.r.clock.Now()
	e := l.mu.held[box.Number]
	switch {
	case e != nil && (e.updates > 0 || now.Before(e.until)):
		return id, false, ErrLocked
	case e == nil:
		if len(l.mu.held) >= l.r.s.opts.MaxLocks && !l.expire(now) {
			return id, false, ErrBusy
		}
		e = &lockEntry{}
		l.mu.held[box.Number] = e
	}
	l.mu.last++
	e.number, e.until = l.mu.last, now.Add(l.r.s.opts.LockFor)
	if e.doubt {
		e.updates++ // nobody else takes it meanwhile
	}
	return LockID{box, l.r.session, e.number}, e.doubt, nil
}

// expire forgets locks that were lost, and reports whether there is room now.
func (l *locks) expire(now time.Time) bool {
	for number, e := range l.mu.held {
		if e.updates == 0 && !e.doubt && !now.Before(e.until) {
			delete(l.mu.held, number)
		}
	}
	return len(l.mu.held) < l.r.s.opts.MaxLocks
}

// fenced says how the command went that was to keep earlier updates out.
func (l *locks) fenced(id LockID, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.mu.held[id.Mailbox.Number]
	e.updates--
	if e.doubt = err != nil; e.doubt {
		e.until = time.Time{} // not given after all
	}
	if errors.Is(err, ErrNoMailbox) {
		delete(l.mu.held, id.Mailbox.Number)
	}
}

// entry returns the entry of a lock that is still the caller's.
func (l *locks) entry(id LockID) (*lockEntry, error) {
	e := l.mu.held[id.Mailbox.Number]
	if id.Session != l.r.session || e == nil || e.number != id.Number ||
		!l.r.clock.Now().Before(e.until) {
		return nil, ErrStaleLock
	}
	return e, nil
}

// Renew keeps a lock. ErrStaleLock or ErrRefused: the session has lost it and ends (with
// [SYS/TEMP], RFC 3206).
func (s *Store) Renew(id LockID) error {
	r, err := s.leased()
	if err != nil {
		return err
	}
	l := &r.locks
	l.mu.Lock()
	defer l.mu.Unlock()
	e, err := l.entry(id)
	if err == nil {
		e.until = r.clock.Now().Add(s.opts.LockFor)
	}
	return err
}

// Unlock gives a lock back; one that was lost already is no matter.
func (s *Store) Unlock(id LockID) {
	r := s.run.Load()
	if r == nil {
		return
	}
	l := &r.locks
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, err := l.entry(id); err == nil {
		if e.until = (time.Time{}); e.updates == 0 && !e.doubt {
			delete(l.mu.held, id.Mailbox.Number)
		}
	}
}

// Update removes messages from the inbox of a locked mailbox: the UPDATE state of POP3 (RFC 1939
// 6). Many UIDs, which ascend, are several commands; after an error some may be gone and others
// not, which the RFC allows. It keeps the lock.
func (s *Store) Update(ctx context.Context, id LockID, uids []UID) error {
	r, err := s.leased()
	if err != nil {
		return err
	}
	l := &r.locks
	l.mu.Lock()
	e, err := l.entry(id)
	if err == nil {
		e.updates++
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = r.verbs(ctx, cmdUpdate, uids, func(b []byte, uids []UID) []byte {
		return appendUIDs(appendCount(appendBox(b, id.Mailbox), int(id.Number)), uids)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	e.updates--
	e.doubt = e.doubt || errors.Is(err, ErrUnknown)
	return err
}
