package local

import (
	"testing"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// addressIn returns a user's address whose mailbox is in a shard.
func (w *world) addressIn(shard int) string {
	for c := 'a'; ; c++ {
		if a := string(c) + "@shard"; mailbox.Shard(a, w.shards) == shard {
			w.users[a], w.there[a] = true, mailbox.Settings{}
			return a
		}
	}
}

// TestShardWithoutOwner: a shard without an owner holds up one message at a time, and nobody
// else's; when it answers again, all go on.
func TestShardWithoutOwner(t *testing.T) {
	play(t, "", "", func(w *world) {
		bad, good := w.addressIn(1), w.addressIn(2)
		number := byte(0)
		deliver := func(to, want string, appends int) {
			t.Helper()
			number++
			w.delivers(number, to, want)
			if n := w.appended(); n != appends {
				t.Errorf("%d appends, want %d", n, appends)
			}
		}
		w.err[1] = mailbox.ErrRefused
		deliver(bad, "4.3.2", 1)
		for range 50 {
			deliver(bad, "4.3.2", 0)
			deliver(good, "ok", 1)
		}
		time.Sleep(breakerPause)
		deliver(bad, "4.3.2", 1) // the probe
		deliver(bad, "4.3.2", 0)
		deliver(bad+" "+good, "4.3.2 ok", 1)
		w.err[1] = nil
		time.Sleep(breakerPause)
		deliver(bad, "ok", 1)
		deliver(bad, "ok", 1)
		if n := w.store.breaker.count.Load(); n != 0 {
			t.Errorf("%d shards are still taken for such", n)
		}
		w.err[1] = mailbox.ErrUnknown // somebody was there
		deliver(bad, "4.3.0", 1)
		deliver(bad, "4.3.0", 1)
	})
}

// TestOneProbe: while a probe waits for an owner, no other is sent. One that never comes back does
// not keep the shard closed.
func TestOneProbe(t *testing.T) {
	play(t, "", "", func(w *world) {
		b := &w.store.breaker
		b.refused(1)
		if !b.putOff(1) || b.putOff(2) {
			t.Error("the wrong shard is put off")
		}
		time.Sleep(breakerPause)
		if b.putOff(1) {
			t.Error("there is no probe after the pause")
		}
		for range int((testPatience + breakerPause) / time.Second) {
			if !b.putOff(1) {
				t.Error("there are two probes")
			}
			time.Sleep(time.Second)
		}
		if b.putOff(1) {
			t.Error("there is no probe after one that was lost")
		}
		b.answered(1)
		if b.putOff(1) {
			t.Error("a shard that answers is put off")
		}
	})
}
