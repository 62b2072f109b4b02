package router

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
)

// runs lets a member drop what may be dropped, until the end of the test.
func (w *world) runs(at uint16) {
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.member(at).Run(ctx) }()
	w.Cleanup(func() { cancel(); <-done })
}

// known reports whether the owner has the record of an append.
func (w *world) known(k mailbox.AppendKey) bool {
	w.Helper()
	w.mu.Lock()
	owner := w.owner
	w.mu.Unlock()
	all, err := owner.store.DedupRecords(mailbox.DedupRecord{}, 1000)
	w.ok(err)
	for _, r := range all {
		if r == recordOf(k) {
			return true
		}
	}
	return false
}

func recordOf(k mailbox.AppendKey) mailbox.DedupRecord {
	return mailbox.DedupRecord{ID: k.ID, Recipient: k.Recipient}
}

// TestForgetWaits: the record of an append is dropped no sooner than a request that was given up
// can still arrive.
func TestForgetWaits(t *testing.T) {
	for name, at := range map[string]uint16{"owner": 1, "copy": 2, "no copy": 9} {
		t.Run(name, func(t *testing.T) {
			play(t, func(w *world) {
				w.runs(at)
				w.ok(w.member(at).Create(w.Context(), "a@h", mailbox.Settings{}))
				k := key(1)
				w.appended(at, k, "a@h", mailbox.Stored)
				w.member(at).Forget(0, []mailbox.DedupRecord{recordOf(k)})
				time.Sleep(remote.DropDedupAfter - time.Second)
				synctest.Wait()
				if !w.known(k) {
					t.Fatal("the record has gone too soon")
				}
				w.appended(at, k, "a@h", mailbox.Duplicate)
				time.Sleep(forgetEvery + time.Second)
				synctest.Wait()
				if w.known(k) {
					t.Error("the record is still there")
				}
				if s := w.member(at).Stats(); s.ForgetsWaiting != 0 || s.ForgetsLost != 0 {
					t.Errorf("%d wait, %d were lost", s.ForgetsWaiting, s.ForgetsLost)
				}
			})
		})
	}
}

// TestForgetLost: what cannot be told to an owner is counted as lost.
func TestForgetLost(t *testing.T) {
	play(t, func(w *world) {
		w.runs(1)
		w.leads(2)
		w.set(func() { w.members[2].down = true })
		r := w.member(1)
		r.Forget(0, make([]mailbox.DedupRecord, 7))
		time.Sleep(remote.DropDedupAfter + 2*forgetEvery)
		synctest.Wait()
		if s := r.Stats(); s.ForgetsWaiting != 0 || s.ForgetsLost != 7 {
			t.Errorf("%d wait, %d were lost; want 0 and 7", s.ForgetsWaiting, s.ForgetsLost)
		}
	})
}

// TestOrphans: the record whose forget was lost goes when all queue groups say that they have not
// to deliver to its recipient. A record that is young stays, and so do all when a group is silent.
func TestOrphans(t *testing.T) {
	play(t, func(w *world) {
		w.set(func() {
			w.queues = []control.Group{
				{ID: queueHere, Kind: control.KindQueue, State: control.GroupServing},
				{ID: queueThere, Kind: control.KindQueue, State: control.GroupServing,
					Observed: control.Configuration{Voters: []uint16{1, 2, 3}}},
				{ID: 6, Kind: control.KindQueue, State: control.GroupNew}, // has nothing yet
				{ID: shardGroup, Kind: control.KindMailbox, State: control.GroupServing},
			}
		})
		w.runs(1)
		w.ok(w.member(1).Create(w.Context(), "a@h", mailbox.Settings{}))
		settled, here, there := key(1), key(2), key(3)
		for _, k := range []mailbox.AppendKey{settled, here, there} {
			w.appended(1, k, "a@h", mailbox.Stored)
		}
		w.set(func() { // member 3 has the queue that member 2 had
			w.members[1].pending = map[mailbox.DedupRecord]bool{recordOf(here): true}
		})
		time.Sleep(orphanAge - time.Minute)
		young := key(4)
		w.appended(1, young, "a@h", mailbox.Stored)
		time.Sleep(3 * time.Minute)
		if synctest.Wait(); !w.known(settled) {
			t.Fatal("a record was dropped, and one group had not answered")
		}
		said := strings.Join(w.log, "\n")
		if !strings.Contains(said,
			"shard 0: append records of long ago stay: group 5 cannot be asked") {
			t.Errorf("the log says %q", said)
		}
		w.set(func() {
			w.members[3].pending = map[mailbox.DedupRecord]bool{recordOf(there): true}
		})
		time.Sleep(2 * orphanEvery)
		synctest.Wait()
		for _, c := range []struct {
			name string
			k    mailbox.AppendKey
			want bool
		}{
			{"settled", settled, false}, {"young", young, true},
			{"pending in the queue of this member", here, true},
			{"pending in another's", there, true},
		} {
			if got := w.known(c.k); got != c.want {
				t.Errorf("%s: known %v, want %v", c.name, got, c.want)
			}
		}
		if s := w.member(1).Stats(); s.ForgetsFound != 1 {
			t.Errorf("%d records were found, want 1", s.ForgetsFound)
		}
	})
}
