package member

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postroad/postroad/cluster/wire"
)

// TestGatekeeper: who is known is admitted by disk and key; who joined while this node was away,
// when one that it knows vouches; a number that nobody gave is nobody's.
func TestGatekeeper(t *testing.T) {
	play(t, func(w *world) {
		// mx2 knows that mx3 joined while mx1 was away.
		theirs := []wire.KnownMember{{ID: 3, Incarnation: 33, Key: "k3"},
			{ID: 2, Incarnation: 2, Key: "k2"}}
		away, fresh := true, true
		asked := 0
		g := NewGatekeeper(GatekeeperOptions{
			Self: 1, State: w.state, Ctx: w.Context(), Errorf: w.logf,
			Fresh: func() bool { return fresh },
			Ask: func(
				_ context.Context, id uint16, method, path string, _, into any,
			) error {
				if asked++; id > 3 || method != "GET" || path != VouchPath {
					t.Errorf("member %d is asked %s %s", id, method, path)
				}
				if away {
					return errors.New("no answer")
				}
				b, err := json.Marshal(theirs)
				w.ok(err)
				return json.Unmarshal(b, into)
			},
		})
		admitted := func(member uint16, incarnation uint64, key string) bool {
			return g.Admit(wire.Identity{
				Cluster: "c1", Member: member, Incarnation: incarnation}, key) == nil
		}
		w.member("mx2", 2)
		w.ok(w.others.SetKey(w.Context(), 2, 2, "k2"))
		synctest.Wait()
		if !admitted(2, 2, "k2") || admitted(2, 2, "forged") || admitted(2, 9, "k2") {
			t.Error("a known member is told by its disk and its key")
		}
		for range 3 {
			if admitted(3, 33, "k3") {
				t.Fatal("nobody has vouched for member 3")
			}
		}
		synctest.Wait()
		if _, lines := w.were(); asked != 1 || len(lines) != 0 {
			t.Errorf("asked %d times; %q", asked, lines)
		}
		after(vouchGrace)
		admitted(3, 33, "k3")
		if _, lines := w.were(); asked != 2 || len(lines) != 1 ||
			!strings.Contains(lines[0], "member 3 wants to connect") {
			t.Errorf("asked %d times; %q", asked, lines)
		}
		away = false
		after(vouchPause)
		admitted(3, 33, "k3") // asks
		synctest.Wait()
		if !admitted(3, 33, "k3") {
			t.Error("mx2 has vouched for member 3")
		}
		if admitted(3, 33, "forged") || admitted(3, 34, "k3") || admitted(9, 99, "k9") {
			t.Error("whom nobody knows is admitted")
		}
		w.member("mx3", 3) // the rows have come, and say something else
		if admitted(3, 33, "k3") || !admitted(3, 3, "k3") {
			t.Error("the state does not count")
		}
		// Rows that may be old: mx2 joined once more before it ran, as mx3 knows.
		theirs, fresh = []wire.KnownMember{{ID: 2, Incarnation: 2, Key: "k2 again"}}, false
		after(vouchPause)
		err := g.Admit(wire.Identity{Cluster: "c1", Member: 2, Incarnation: 2}, "k2 again")
		if err == nil || errors.Is(err, wire.ErrFinal) {
			t.Errorf("by old rows: %v", err)
		}
		synctest.Wait()
		if !admitted(2, 2, "k2 again") || admitted(2, 2, "forged") {
			t.Error("another key is vouched for")
		}
		if fresh = true; admitted(2, 2, "k2 again") {
			t.Error("new rows count")
		}
		w.ok(w.others.Refound(w.Context(), "c2", []byte("cert"), []byte("key")))
		if !admitted(3, 3, "any key") || admitted(3, 9, "k3") {
			t.Error("rows of another cluster's name tell nothing of keys")
		}
	})
}

// TestToldAtJoin: a node that has joined takes the log over from its beginning, and for a while the
// members that its state has may all be gone. Who was there when it joined is admitted.
func TestToldAtJoin(t *testing.T) {
	play(t, func(w *world) {
		w.member("mx2", 2) // gone by now
		g := NewGatekeeper(GatekeeperOptions{
			Self: 1, State: w.state, Ctx: w.Context(), Errorf: w.logf,
			Fresh: func() bool { return false },
			Ask: func(context.Context, uint16, string, string, any, any) error {
				return errors.New("no answer")
			},
			Told: []wire.KnownMember{{ID: 5, Incarnation: 55, Key: "k5"}},
		})
		admitted := func(member uint16, incarnation uint64, key string) bool {
			return g.Admit(wire.Identity{
				Cluster: "c1", Member: member, Incarnation: incarnation}, key) == nil
		}
		if !admitted(5, 55, "k5") || admitted(5, 55, "forged") || admitted(5, 56, "k5") ||
			admitted(6, 66, "k6") {
			t.Error("not those of whom it was told are admitted")
		}
		synctest.Wait()
	})
}

// TestKnownAfterACrash: what a node knew of members outlasts rows that are from before, and is what
// the state says once that is new.
func TestKnownAfterACrash(t *testing.T) {
	play(t, func(w *world) {
		var kept []wire.KnownMember
		writes, fresh := 0, true
		begin := func() *Gatekeeper {
			return NewGatekeeper(GatekeeperOptions{
				Self: 1, State: w.state, Ctx: w.Context(), Errorf: w.logf,
				Fresh: func() bool { return fresh }, Told: kept,
				Ask: func(context.Context, uint16, string, string, any, any) error {
					return errors.New("no answer")
				},
				Keep: func(known []wire.KnownMember) error {
					kept = known
					writes++
					return nil
				},
			})
		}
		w.member("mx2", 2)
		kept = []wire.KnownMember{{ID: 8, Incarnation: 88, Key: "k8"}} // of later rows
		fresh = false
		g := begin()
		g.Follow()
		g.Follow()
		if len(kept) != 3 || writes != 1 {
			t.Errorf("by old rows %+v is kept, in %d writes", kept, writes)
		}
		g = begin()
		if g.Admit(wire.Identity{Cluster: "c1", Member: 8, Incarnation: 88}, "k8") != nil ||
			g.Admit(wire.Identity{Cluster: "c1", Member: 8, Incarnation: 88}, "forged") == nil {
			t.Error("not the member that it knew is admitted")
		}
		fresh = true
		g.Follow()
		if len(kept) != 2 || kept[1].ID != 2 {
			t.Errorf("by new rows %+v is kept", kept)
		}
		synctest.Wait()
	})
}

// TestVouch: a member names those that are present, with their keys.
func TestVouch(t *testing.T) {
	play(t, func(w *world) {
		w.member("mx2", 2)
		w.ok(w.others.SetKey(w.Context(), 2, 2, "k2"))
		w.member("mx3", 3)
		w.ok(w.others.Remove(w.Context(), 3))
		g := NewGatekeeper(GatekeeperOptions{Self: 1, State: w.state})
		answer := httptest.NewRecorder()
		g.ServeVouch(answer, nil)
		var got []wire.KnownMember
		w.ok(json.Unmarshal(answer.Body.Bytes(), &got))
		if len(got) != 2 || got[1] != (wire.KnownMember{ID: 2, Incarnation: 2, Key: "k2"}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestKeyIsRecorded: a node that runs says which key it has, once all would keep it.
func TestKeyIsRecorded(t *testing.T) {
	play(t, func(w *world) {
		w.o.Key = "k1"
		w.start()
		synctest.Wait()
		if m, _ := w.state.Member(1); m.Key != "k1" {
			t.Errorf("%+v", m)
		}
	})
}
