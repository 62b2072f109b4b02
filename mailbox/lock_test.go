package mailbox

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/queue/queuetest"
)

func TestLock(t *testing.T) {
	lease := true
	b := newBed(t, Options{MaxLocks: 2, Lease: func() bool { return lease }}).start()
	box := b.box("a@example.net", Settings{})
	b.box("b@example.net", Settings{})
	b.box("c@example.net", Settings{})
	for range 3 {
		b.store("x", Item{Mailbox: box.Address})
	}
	ctx := t.Context()
	id, err := b.s.Lock(ctx, box.Address)
	b.ok(err)
	if _, err := b.s.Lock(ctx, box.Address); !errors.Is(err, ErrLocked) {
		t.Fatal(err)
	}
	if _, err := b.s.Lock(ctx, "no@example.net"); !errors.Is(err, ErrNoMailbox) {
		t.Fatal(err)
	}
	b.c.add(50 * time.Second)
	b.ok(b.s.Renew(id))
	b.c.add(50 * time.Second)
	b.ok(b.s.Update(ctx, id, []UID{1}))
	_, err = b.s.Lock(ctx, "b@example.net")
	b.ok(err)
	if _, err := b.s.Lock(ctx, "c@example.net"); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	// Not renewed: lost, and the next session has it.
	b.c.add(2 * time.Minute)
	next, err := b.s.Lock(ctx, box.Address)
	b.ok(err)
	for _, err := range []error{b.s.Renew(id), b.s.Update(ctx, id, []UID{2})} {
		if !errors.Is(err, ErrStaleLock) {
			t.Fatal(err)
		}
	}
	b.s.Unlock(id) // is no matter
	b.ok(b.s.Renew(next))
	b.s.Unlock(next)
	if _, err = b.s.Lock(ctx, box.Address); err != nil {
		t.Fatal(err)
	}
	lease = false
	for _, err := range []error{b.s.Renew(next), b.s.Update(ctx, next, []UID{2})} {
		if !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
	}
	if got := b.list(box, Inbox); !slices.Equal(got, []string{"2:0", "3:0"}) {
		t.Fatal(got)
	}
}

// All locks end with the term.
func TestLocksEndWithTheTerm(t *testing.T) {
	b := newBed(t, Options{}).start()
	box := b.box("a@example.net", Settings{})
	b.store("x", Item{Mailbox: box.Address})
	id, err := b.s.Lock(t.Context(), box.Address)
	b.ok(err)
	b.s.Abandon()
	if err := b.s.Renew(id); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	b.ok(b.s.Start(t.Context(), b.g, b.h))
	again, err := b.s.Lock(t.Context(), box.Address)
	if b.ok(err); again.Number != id.Number || again.Session == id.Session {
		t.Fatalf("%+v, then %+v", id, again)
	}
	if err := b.s.Update(t.Context(), id, []UID{1}); !errors.Is(err, ErrStaleLock) {
		t.Fatal(err)
	}
	if len(b.list(box, Inbox)) != 1 {
		t.Fatal("an update of an earlier term removed a message")
	}
}

// An update of unknown outcome comes late, when the next session has the mailbox: it is refused by
// Apply.
func TestLateUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{UnknownFor: time.Second, LockFor: time.Minute})
		c := &queuetest.Cluster{Refused: ErrRefused}
		m := c.Join(machineOf(s), nil)
		c.Lead(m)
		b := &bed{t: t, s: s}
		b.ok(s.Start(t.Context(), m, &heard{}))
		box := b.box("a@example.net", Settings{})
		b.store("x", Item{Mailbox: box.Address})
		id, err := s.Lock(t.Context(), box.Address)
		b.ok(err)
		c.Fault = func([]byte) queuetest.Fault { return queuetest.Delay }
		if err := s.Update(t.Context(), id, []UID{1}); !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		}
		s.Unlock(id)
		if _, err := s.Lock(t.Context(), box.Address); !errors.Is(err, ErrUnknown) {
			t.Fatal("locked while an update may still come:", err)
		}
		c.Fault = nil
		next, err := s.Lock(t.Context(), box.Address)
		b.ok(err)
		if c.Release() == 0 {
			t.Fatal("nothing was late")
		}
		if len(b.list(box, Inbox)) != 1 {
			t.Fatal("the late update removed a message of the next session")
		}
		b.ok(s.Update(t.Context(), next, []UID{1}))
		if len(b.list(box, Inbox)) != 0 {
			t.Fatal("the message is still there")
		}
		s.Stop(t.Context())
	})
}
