package router

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
)

// TestVerbs: what is done to mailboxes is done at the owner, from wherever it is asked for.
func TestVerbs(t *testing.T) {
	play(t, func(w *world) {
		ctx := w.Context()
		for _, at := range []uint16{1, 3, 9} { // the owner, a copy, neither
			r := w.member(at)
			w.ok(r.Create(ctx, "a@h", mailbox.Settings{Soft: 5, Hard: 10}))
			w.ok(r.Create(ctx, "a@h", mailbox.Settings{}))
			w.ok(r.Create(ctx, "b@h", mailbox.Settings{}))
			box, err := r.Mailbox(ctx, "a@h")
			if err != nil || box.Hard != 10 {
				t.Errorf("member %d: a mailbox with %+v, %v", at, box.Settings, err)
			}
			w.ok(r.Configure(ctx, "a@h", mailbox.Settings{Hard: 11}))
			w.ok(r.MakeFolder(ctx, box.Ref, "Work"))
			w.ok(r.MakeFolder(ctx, box.Ref, "Work"))
			folders, err := r.Folders(ctx, box.Ref)
			if err != nil || len(folders) != 2 || folders[1].Name != "Work" {
				t.Errorf("member %d: folders %+v, %v", at, folders, err)
			}
			page, err := r.List(ctx, 0, "a@h", 10)
			if err != nil || len(page) != 1 || page[0].Address != "b@h" {
				t.Errorf("member %d: after the first mailbox comes %+v, %v", at, page, err)
			}
			if box, err = r.Mailbox(ctx, "a@h"); err != nil || box.Hard != 11 {
				t.Errorf("member %d: a mailbox with %+v, %v", at, box.Settings, err)
			}
			for range 2 {
				w.ok(r.Remove(ctx, "a@h"))
			}
			if err := r.Configure(ctx, "a@h", mailbox.Settings{}); !errors.Is(err,
				mailbox.ErrNoMailbox) {
				t.Errorf("member %d configures a mailbox that is gone: %v", at, err)
			}
		}
	})
}

// TestOwnerMoves: what is asked for during an election waits for the new owner.
func TestOwnerMoves(t *testing.T) {
	play(t, func(w *world) {
		w.ok(w.member(3).Create(w.Context(), "a@h", mailbox.Settings{}))
		w.appended(3, key(1), "a@h", mailbox.Stored)
		w.leads(0)
		time.AfterFunc(3*time.Second, func() { w.leads(2) })
		appends := map[uint16]<-chan outcome{}
		for _, at := range []uint16{1, 2, 3, 9} {
			appends[at] = w.begin(at, key(10+uint32(at)), "a@h", "text")
		}
		start := time.Now()
		if _, err := w.member(3).Mailbox(w.Context(), "a@h"); err != nil {
			t.Errorf("a look-up during the election: %v", err)
		}
		within(t, "the look-up", time.Since(start), 3*time.Second, 3*time.Second+ownerMost)
		for at, done := range appends {
			o := <-done
			if o.err != nil || o.code != mailbox.Stored {
				t.Errorf("an append at member %d: code %d, %v", at, o.code, o.err)
			}
			within(t, "an append", o.took, 3*time.Second, 3*time.Second+2*ownerMost)
		}
	})
}

// TestOwnerStarts: a member that leads and does not serve yet is waited for, by itself and by the
// others.
func TestOwnerStarts(t *testing.T) {
	play(t, func(w *world) {
		w.ok(w.member(1).Create(w.Context(), "a@h", mailbox.Settings{}))
		for _, at := range []uint16{1, 2} {
			w.set(func() { w.starts = true })
			time.AfterFunc(time.Second, func() { w.set(func() { w.starts = false }) })
			start := time.Now()
			_, err := w.member(at).Mailbox(w.Context(), "a@h")
			w.ok(err)
			within(t, "a look-up", time.Since(start), time.Second, time.Second+ownerMost)
			asked := w.were()
			if at == 1 && len(asked) > 0 || slices.Contains(asked, 3) {
				t.Errorf("member %d asked %v", at, asked)
			}
		}
	})
}

func within(t *testing.T, what string, took, least, most time.Duration) {
	t.Helper()
	if took < least || took > most {
		t.Errorf("%s took %v, not %v to %v", what, took, least, most)
	}
}

// TestWrongGuess: a member without a copy asks the voters in turn, and then the one that was found.
// The member that leads the group according to a copy is asked at once.
func TestWrongGuess(t *testing.T) {
	play(t, func(w *world) {
		look := func(at uint16, want ...uint16) {
			t.Helper()
			w.were()
			_, err := w.member(at).Mailbox(w.Context(), "a@h")
			w.ok(err)
			w.wereAsked(want...)
		}
		w.ok(w.member(1).Create(w.Context(), "a@h", mailbox.Settings{}))
		look(9, 1)
		w.leads(3)
		look(9, 1, 2, 3)
		look(9, 3)
		look(2, 3)
		look(3)
		w.leads(2)
		look(9, 3, 1, 2)
		look(9, 2)
		// A copy that does not know of a leader may be one that is about to be deleted: member 1
		// asks the others.
		w.set(func() { w.members[1].deaf = true })
		look(1, 2)
		// A member that is down did nothing; the next one is asked.
		w.leads(3)
		w.set(func() { w.members[2].down = true })
		look(9, 2, 3)
	})
}

// TestNoOwner: an owner is looked for as long as the patience lasts, and no longer than somebody
// waits.
func TestNoOwner(t *testing.T) {
	play(t, func(w *world) {
		w.leads(0)
		for _, at := range []uint16{1, 9} {
			start := time.Now()
			_, err := w.member(at).Mailbox(w.Context(), "a@h")
			if !errors.Is(err, mailbox.ErrRefused) {
				t.Errorf("member %d: %v", at, err)
			}
			within(t, "a look-up", time.Since(start), OwnerPatience-ownerMost, OwnerPatience)
			o := w.append(at, key(1), "a@h", "text")
			if !errors.Is(o.err, mailbox.ErrRefused) {
				t.Errorf("an append at member %d: %v", at, o.err)
			}
			within(t, "an append", o.took, OwnerPatience-ownerMost, OwnerPatience)
		}
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := w.member(1).Mailbox(ctx, "a@h"); err == nil {
			t.Error("a look-up that nobody waits for succeeded")
		}
		within(t, "a look-up that was called off", time.Since(start), time.Second, time.Second)
		done := w.begin(1, key(1), "a@h", "text")
		time.AfterFunc(time.Second, w.end)
		o := <-done
		if !errors.Is(o.err, mailbox.ErrRefused) {
			t.Errorf("an append at a member that stops: %v", o.err)
		}
		within(t, "an append at a member that stops", o.took, time.Second, time.Second+ownerMost)
	})
}

// TestNoShards: the first mailbox waits for the shards, and all else is refused at once.
func TestNoShards(t *testing.T) {
	play(t, func(w *world) {
		shards := w.shards
		w.set(func() { w.shards = nil })
		r, start := w.member(1), time.Now()
		if err := r.Remove(w.Context(), "a@h"); !errors.Is(err, mailbox.ErrRefused) {
			t.Errorf("removed: %v", err)
		}
		if err := r.Room("a@h", 1); err != nil {
			t.Errorf("what is not known is told: %v", err)
		}
		r.Unlock(mailbox.LockID{})
		within(t, "what is refused", time.Since(start), 0, 0)
		if err := r.Create(w.Context(), "a@h", mailbox.Settings{}); !errors.Is(err,
			mailbox.ErrRefused) {
			t.Errorf("made: %v", err)
		}
		within(t, "a mailbox that is made", time.Since(start), OwnerPatience, OwnerPatience)
		time.AfterFunc(time.Second, func() { w.set(func() { w.shards = shards }) })
		w.ok(r.Create(w.Context(), "a@h", mailbox.Settings{}))

		w.set(func() { w.shards = []uint64{0} }) // the shard's group was given up
		_, err := w.member(9).Mailbox(w.Context(), "a@h")
		if !errors.Is(err, mailbox.ErrRefused) {
			t.Errorf("in a shard without a group: %v", err)
		}
	})
}

// TestLostAnswers: a request that may be repeated is, and nobody hears that nothing happened when
// that is not known.
func TestLostAnswers(t *testing.T) {
	play(t, func(w *world) {
		r := w.member(2)
		w.losing(2, remote.PathVerb)
		w.ok(r.Create(w.Context(), "a@h", mailbox.Settings{}))
		w.wereAsked(1, 1, 1)

		w.losing(1, remote.PathVerb)
		if _, err := r.Lock(w.Context(), "a@h"); !errors.Is(err, mailbox.ErrUnknown) {
			t.Errorf("a lock whose answer was lost: %v", err)
		}
		w.wereAsked(1)

		w.losing(1000, remote.PathVerb)
		start := time.Now()
		err := r.Create(w.Context(), "b@h", mailbox.Settings{})
		if !errors.Is(err, mailbox.ErrUnknown) || errors.Is(err, mailbox.ErrRefused) ||
			!errors.Is(err, errCut) {
			t.Errorf("made, and all answers were lost: %v", err)
		}
		within(t, "the attempt", time.Since(start), OwnerPatience-ownerMost, OwnerPatience)
	})
}

func TestStats(t *testing.T) {
	play(t, func(w *world) {
		w.ok(w.member(1).Create(w.Context(), "a@h", mailbox.Settings{}))
		w.appended(1, key(1), "a@h", mailbox.Stored)
		w.appended(1, key(1), "a@h", mailbox.Duplicate)
		w.member(1).Forget(0, make([]mailbox.DedupRecord, 3))
		s := w.member(1).Stats()
		got := []int{
			s.Copies, s.Owned, int(s.Mailboxes), int(s.Messages), int(s.Appended),
			int(s.Duplicates),
			s.ForgetsWaiting, s.RemoteWaiting,
		}
		if want := []int{1, 1, 1, 1, 1, 1, 3, 0}; !slices.Equal(got, want) {
			t.Errorf("the owner's figures are %v, want %v", got, want)
		}
		if s := w.member(2).Stats(); s.Copies != 1 || s.Owned != 0 || s.Messages != 0 {
			t.Errorf("figures of a copy: %+v", s)
		}
		if s := w.member(9).Stats(); s != (Stats{}) {
			t.Errorf("figures of a member that has nothing: %+v", s)
		}
	})
}
