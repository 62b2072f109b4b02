package router

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// TestRoom: a copy answers by itself. Without one the owner is asked, once for many, and RCPT never
// waits for the answer.
func TestRoom(t *testing.T) {
	play(t, func(w *world) {
		w.ok(w.member(1).Create(w.Context(), "a@h", mailbox.Settings{Hard: 100}))
		w.follow()
		room := func(at uint16, address string, size int64, want error) {
			t.Helper()
			start := time.Now()
			if err := w.member(at).Room(address, size); !errors.Is(err, want) || err != nil &&
				want == nil {
				t.Errorf("room for %d octets of %s at member %d: %v, want %v", size, address, at,
					err, want)
			}
			within(t, "the answer", time.Since(start), 0, 0)
		}
		for _, at := range []uint16{1, 2} {
			room(at, "a@h", 100, nil)
			room(at, "a@h", 101, mailbox.ErrFull)
			room(at, "nobody@h", 1, mailbox.ErrNoMailbox)
		}
		w.wereAsked()

		for range 100 {
			room(9, "a@h", 101, nil) // nothing is known yet
			room(9, "nobody@h", 1, nil)
		}
		time.Sleep(quotaFresh / 2)
		w.wereAsked(1, 1)
		for range 100 {
			room(9, "a@h", 100, nil)
			room(9, "a@h", 101, mailbox.ErrFull)
			room(9, "nobody@h", 1, mailbox.ErrNoMailbox)
		}
		w.wereAsked()

		w.ok(w.member(1).Configure(w.Context(), "a@h", mailbox.Settings{Hard: 200}))
		time.Sleep(quotaFresh)
		for range 100 {
			room(9, "a@h", 101, mailbox.ErrFull) // the old answer goes until there is a new one
		}
		time.Sleep(time.Second)
		w.wereAsked(1)
		room(9, "a@h", 101, nil)
		room(9, "a@h", 201, mailbox.ErrFull)

		w.set(func() { w.members[2].deaf = true })
		room(2, "a@h", 1000, nil) // its copy may be of long ago
		time.Sleep(time.Second)
		w.wereAsked(1)
		room(2, "a@h", 1000, mailbox.ErrFull)
	})
}

// TestRoomIsBounded: only so many questions are under way, and only so many answers are kept.
func TestRoomIsBounded(t *testing.T) {
	play(t, func(w *world) {
		w.leads(0)
		r := w.member(9)
		for i := range 100 {
			w.ok(r.Room(fmt.Sprintf("%d@h", i), 1))
		}
		q := &r.quotas
		q.mu.Lock()
		if q.asking != maxAsking || len(q.known) != maxAsking {
			t.Errorf("%d questions, %d mailboxes", q.asking, len(q.known))
		}
		for i := range maxQuotas + 10 {
			q.keep(fmt.Sprintf("kept%d@h", i), quota{})
		}
		if len(q.known) != maxQuotas {
			t.Errorf("%d mailboxes are known, not %d", len(q.known), maxQuotas)
		}
		q.mu.Unlock()
		time.Sleep(quotaAnswer)
		synctest.Wait()
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.asking != 0 {
			t.Errorf("%d questions are still under way", q.asking)
		}
	})
}
