package router

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// TestLock: the maildrop lock is one for the cluster.
func TestLock(t *testing.T) {
	play(t, func(w *world) {
		ctx := w.Context()
		id, err := w.member(2).Lock(ctx, "fresh@h") // makes it
		w.ok(err)
		for _, at := range []uint16{1, 2, 9} {
			if _, err := w.member(at).Lock(ctx, "fresh@h"); !errors.Is(err, mailbox.ErrLocked) {
				t.Errorf("a second lock at member %d: %v", at, err)
			}
		}
		for i := range 3 {
			w.appended(9, key(uint32(i)), "fresh@h", mailbox.Stored)
		}
		w.ok(w.member(3).Renew(ctx, id))
		w.ok(w.member(3).Update(ctx, id, []mailbox.UID{1, 3}))
		w.messages(9, "fresh@h", "text")
		for _, at := range []uint16{1, 9} { // at the owner, and from elsewhere
			w.member(at).Unlock(id)
			time.Sleep(time.Second) // in the bubble
			if id, err = w.member(2).Lock(ctx, "fresh@h"); err != nil {
				t.Errorf("after an unlock at member %d: %v", at, err)
			}
		}
		if _, err := w.member(9).Lock(ctx, "a@elsewhere"); !errors.Is(err, mailbox.ErrNoMailbox) {
			t.Errorf("a mailbox that is nobody's: %v", err)
		}
	})
}

// TestLockLost: a lock ends with the term of the owner that gave it.
func TestLockLost(t *testing.T) {
	play(t, func(w *world) {
		ctx := w.Context()
		id, err := w.member(9).Lock(ctx, "a@h")
		w.ok(err)
		w.appended(9, key(1), "a@h", mailbox.Stored)
		w.leads(3)
		if err := w.member(9).Renew(ctx, id); !errors.Is(err, mailbox.ErrStaleLock) {
			t.Errorf("renewed: %v", err)
		}
		err = w.member(9).Update(ctx, id, []mailbox.UID{1})
		if !errors.Is(err, mailbox.ErrStaleLock) {
			t.Errorf("updated: %v", err)
		}
		w.messages(9, "a@h", "text")
		if _, err := w.member(1).Lock(ctx, "a@h"); err != nil {
			t.Errorf("the next session: %v", err)
		}
	})
}

// TestUnlocksAreBounded: locks that cannot be given back are not kept for ever.
func TestUnlocksAreBounded(t *testing.T) {
	play(t, func(w *world) {
		w.leads(0)
		r := w.member(9)
		for range maxUnlocks + 100 {
			r.Unlock(mailbox.LockID{Mailbox: mailbox.Ref{Address: "a@h"}})
		}
		synctest.Wait()
		u := &r.unlocks
		u.mu.Lock()
		waiting, running := u.waiting.Len(), u.running
		u.mu.Unlock()
		if running != unlockersMost || waiting > maxUnlocks || waiting < maxUnlocks-unlockersMost {
			t.Errorf("%d wait, %d are under way", waiting, running)
		}
		w.end() // they end with the member
		synctest.Wait()
	})
}
