package router

import (
	"errors"
	"testing"
	"time"

	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
)

// TestAppendAgain: an append whose answer was lost is for the caller to try again, and under the
// same key it is not done twice.
func TestAppendAgain(t *testing.T) {
	play(t, func(w *world) {
		w.ok(w.member(1).Create(w.Context(), "a@h", mailbox.Settings{}))
		k := key(1)
		w.losing(1, remote.PathAppend)
		if o := w.append(2, k, "a@h", "text"); !errors.Is(o.err, mailbox.ErrUnknown) {
			t.Errorf("an append whose answer was lost: code %d, %v", o.code, o.err)
		}
		w.wereAsked(1) // once
		w.appended(2, k, "a@h", mailbox.Duplicate)
		w.appended(9, k, "a@h", mailbox.Duplicate)
		w.appended(9, key(2), "nobody@h", mailbox.NoMailbox)
		w.messages(1, "a@h", "text")
	})
}

// TestAppendRefused: an append that was refused is tried again until there is an owner who takes
// it, whoever that is.
func TestAppendRefused(t *testing.T) {
	play(t, func(w *world) {
		w.ok(w.member(1).Create(w.Context(), "a@h", mailbox.Settings{}))
		w.leads(0)
		w.were()
		done := w.begin(9, key(1), "a@h", "text")
		time.Sleep(time.Second)
		if tries := len(w.were()); tries < 4 || tries > 8 || len(done) > 0 {
			t.Errorf("%d tries in a second, %d answers", tries, len(done))
		}
		w.leads(3)
		if o := <-done; o.err != nil || o.code != mailbox.Stored {
			t.Errorf("code %d, %v", o.code, o.err)
		}
		w.messages(9, "a@h", "text")
	})
}

// TestAppendBatch: deliveries of one command keep their order, also when they are tried again.
func TestAppendBatch(t *testing.T) {
	play(t, func(w *world) {
		w.ok(w.member(1).Create(w.Context(), "a@h", mailbox.Settings{}))
		for i, at := range []uint16{1, 2, 9} {
			some := []*mailbox.Delivery{
				delivery(key(uint32(10*i)), "a@h", "one"),
				delivery(key(uint32(10*i+1)), "a@h", "two"),
			}
			if at == 9 {
				w.losing(1, remote.PathTogether)
				_, err := w.member(at).AppendBatch(w.Context(), 0, some)
				if !errors.Is(err, mailbox.ErrUnknown) {
					t.Errorf("an answer was lost: %v", err)
				}
			}
			want := mailbox.Stored
			if at == 9 {
				want = mailbox.Duplicate
			}
			results, err := w.member(at).AppendBatch(w.Context(), 0, some)
			if err != nil || len(results) != 2 || results[0][0].Code != want ||
				results[1][0].Code != want {
				t.Errorf("member %d: %+v, %v", at, results, err)
			}
		}
		w.messages(9, "a@h", "one", "two", "one", "two", "one", "two")
	})
}
