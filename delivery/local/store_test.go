package local

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
)

var _ delivery.LocalStore = (*Store)(nil)

func TestDeliver(t *testing.T) {
	play(t, "old@h full@h tiny@h", "new@h newer@h Postmaster@b tiny@h", func(w *world) {
		w.full["full@h"], w.full["tiny@h"] = true, true
		w.delivers(1, "old@h", "ok")
		w.delivers(2, "old@h full@h gone@h new@h newer@h postmaster@h Postmaster@b",
			"ok 4.2.2 5.1.1 ok ok 4.3.5 ok")
		w.delivers(3, "gone@h", "5.1.1")
		w.delivers(4, "tiny@h", "5.2.3") // the message alone is more than it may hold
		for address, want := range map[string]int{
			"old@h": 2, "new@h": 1, "newer@h": 1, "Postmaster@b": 1, "full@h": 0, "gone@h": 0,
		} {
			got := w.got[address]
			if len(got) != want || want > 0 && got[0] != "for "+address+": hello" {
				t.Errorf("%s has %q, want %d", address, got, want)
			}
		}
		if set, _ := w.settings("new@h"); w.made != 3 || w.there["new@h"] != set {
			t.Errorf("%d mailboxes made with %+v, want 3 with the directory's settings",
				w.made, w.there["new@h"])
		}
	})
}

// TestKeys: a message's ID and the recipient's number are the key of an append. One that the shard
// knows is a success, so that a retry after an unknown outcome ends well.
func TestKeys(t *testing.T) {
	play(t, "a@h b@h", "", func(w *world) {
		for range 3 {
			w.delivers(1, "a@h b@h", "ok ok")
		}
		w.delivers(1, "b@h", "ok") // it has the number that a@h had: of other keys nothing is known
		w.delivers(2, "b@h", "ok")
		if a, b := len(w.got["a@h"]), len(w.got["b@h"]); a != 1 || b != 2 {
			t.Errorf("%d and %d messages, want 1 and 2", a, b)
		}
		id := numbered(1).Message.ID
		for _, k := range []mailbox.AppendKey{{ID: id}, {ID: id, Recipient: 1}} {
			if !w.keys[k] {
				t.Errorf("there was no append with key %v", k)
			}
		}
	})
}

// TestTrouble: what is the store's own trouble is tried again within seconds, and nobody is told
// that there is no such user while that is not sure.
func TestTrouble(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{mailbox.ErrRefused, "4.3.2 4.3.2"},
		{mailbox.ErrBusy, "4.3.2 4.3.2"},
		{fmt.Errorf("x: %w", mailbox.ErrUnknown), "4.3.0 4.3.0"},
		{mailbox.ErrContent, "4.3.0 4.3.0"},
		{errors.New("what?"), "4.3.0 4.3.0"},
	} {
		play(t, "a@h b@h", "", func(w *world) {
			w.all = c.err
			w.delivers(1, "a@h b@h", c.want)
		})
	}
	play(t, "", "a@h", func(w *world) {
		w.makeErr = mailbox.ErrRefused
		w.delivers(1, "a@h", "4.3.2")
		w.shards = 0
		w.delivers(2, "a@h gone@h postmaster@h", "4.3.2 5.1.1 4.3.5")
		w.store.Settled(numbered(2, "a@h").Message, []uint32{0})
		w.current = false
		w.delivers(3, "a@h gone@h postmaster@h", "4.3.2 4.3.2 4.3.5")
	})
}

// TestMadeAndGone: a mailbox that is made and not there is not made for ever.
func TestMadeAndGone(t *testing.T) {
	play(t, "", "a@h", func(w *world) {
		w.store.o.Mailboxes = forgetful{w}
		w.delivers(1, "a@h", "4.3.0")
		if n := w.appended(); w.made != 1 || n != 2 {
			t.Errorf("%d mailboxes were made, %d appends tried; want 1 and 2", w.made, n)
		}
	})
}

// forgetful are mailboxes that somebody removes at once.
type forgetful struct{ *world }

func (f forgetful) Append(shard int, d *mailbox.Delivery, done func([]mailbox.Result, error)) {
	clear(f.there)
	f.world.Append(shard, d, done)
}

// TestMakersAreBounded: only so many mailboxes are made at a time; the others wait, and when that
// takes too long they are tried again later.
func TestMakersAreBounded(t *testing.T) {
	play(t, "", "a@h", func(w *world) {
		for range makersAtOnce {
			w.store.making <- struct{}{}
		}
		start := time.Now()
		w.delivers(1, "a@h", "4.3.2")
		if took := time.Since(start); took != makeTime+linger {
			t.Errorf("it took %v", took)
		}
		time.AfterFunc(time.Second, func() { <-w.store.making })
		w.delivers(1, "a@h", "ok")
	})
}

// TestSettled: what is settled is forgotten in its shard.
func TestSettled(t *testing.T) {
	play(t, "", "", func(w *world) {
		m := numbered(1, "a@h", "b@h", "c@h", "d@h", "e@h").Message
		w.store.Settled(m, []uint32{0, 2, 4})
		n := 0
		for shard, records := range w.forgot {
			n += len(records)
			for _, r := range records {
				to := m.Envelope.Recipients[r.Recipient].Address
				if mailbox.Shard(to, 4) != shard || r.ID != m.ID || r.Recipient%2 != 0 {
					t.Errorf("shard %d was told to forget %v", shard, r)
				}
			}
		}
		if n != 3 {
			t.Errorf("%d records forgotten, want 3", n)
		}
	})
}

// TestBatches: a message is one append for each of its shards, whatever the number of its
// recipients, and what comes during the linger goes together when it is over.
func TestBatches(t *testing.T) {
	play(t, "a@h b@h", "", func(w *world) {
		for round := range byte(3) {
			answers := 0
			for i := range byte(5) {
				m := numbered(10*round+i, "a@h", "a@h", "a@h")
				w.store.Deliver(m, func(f []*smtp.Failure) {
					if answers++; codes(f) != "ok ok ok" {
						t.Errorf("message %d: %s", i, codes(f))
					}
				})
			}
			time.Sleep(linger - time.Millisecond)
			if n := w.appended(); n != 0 {
				t.Fatalf("%d appends before the end of the linger", n)
			}
			time.Sleep(time.Millisecond)
			if n := w.appended(); answers != 5 || n != 5 {
				t.Errorf("%d answers of %d appends, want 5 of 5", answers, n)
			}
		}
	})
}
