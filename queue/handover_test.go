package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/postroad/postroad/internal/mail"
)

// Owners are killed at every step of hand-overs, answers and commands are lost, commands of long
// ago come again, operators and next hops have their say: each message is always in one group, as
// it was. The build tag defect_latecopy takes copies of hand-overs that have ended; it must fail.
func TestHandOverModel(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHandWorld(t, seed, 3)
				for range 30 {
					w.accept(w.groups[w.rand.IntN(3)])
				}
				for range 30 {
					w.touch()
				}
				w.faults = true
				for range 120 {
					switch n := w.rand.IntN(10); {
					case n < 5:
						w.handOver()
					case n < 7:
						w.touch()
					case n < 9:
						w.repeat()
					default:
						w.groups[w.rand.IntN(3)].restart()
					}
					w.check(false)
				}
				w.faults = false
				for range 3 { // one may have to be cancelled first
					for _, g := range w.groups {
						if _, err := g.q.EndHandOver(t.Context(), g.id, w.elsewhere); err != nil {
							t.Fatal(err)
						}
					}
				}
				w.check(true)
				for _, g := range w.groups {
					g.whole()
					g.q.Stop(context.Background())
				}
			})
		})
	}
}

// A group that hands something over, or to which something is on its way, is not sealed; then it
// is, and takes nothing more.
func TestHandOverAndSeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHandWorld(t, 1, 2)
		a, b := w.groups[0], w.groups[1]
		w.accept(a)
		var id mail.ID
		for id = range w.known {
		}
		sealed := func(g *handGroup, want bool) {
			t.Helper()
			if ok, err := g.q.Seal(t.Context()); err != nil || ok != want {
				t.Fatal(ok, err)
			}
		}
		p, err := a.q.Pack(t.Context(), a.id, b.id, w.elsewhere, []mail.ID{id})
		if err != nil {
			t.Fatal(err)
		}
		sealed(b, false)
		if err := p.LetGo(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a.q.Empty() {
			t.Error("empty before the other group knows")
		}
		sealed(a, false)
		sealed(b, false)
		if done, err := a.q.EndHandOver(t.Context(), a.id, w.elsewhere); err != nil ||
			!slices.Equal(done.IDs, []mail.ID{id}) {
			t.Fatal(done, err)
		}
		w.check(true)
		if h, err := a.q.Handing(); err != nil || h.Total != 1 || h.Open || !a.q.Empty() {
			t.Fatal(h, err)
		}
		sealed(a, true)
		if _, err := b.q.Pack(t.Context(), b.id, a.id, w.elsewhere, []mail.ID{id}); !errors.Is(
			err,
			errNotTaken,
		) {
			t.Error("a sealed group takes something:", err)
		}
		if done, err := b.q.EndHandOver(t.Context(), b.id, w.elsewhere); err != nil ||
			len(done.IDs) != 0 {
			t.Fatal(done, err)
		}
		w.check(true)
		for _, g := range w.groups {
			g.q.Stop(context.Background())
		}
	})
}

// Deferred mail keeps its due time, held mail stays held, and both are found by the new group's
// owner.
func TestHandOverIsHeardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHandWorld(t, 3, 2)
		a, b := w.groups[0], w.groups[1]
		for range 5 {
			w.accept(a)
		}
		heard := b.q.run.Load().listener.(*heard)
		var ids []mail.ID
		for id := range w.known {
			ids = append(ids, id)
		}
		p, err := a.q.Pack(t.Context(), a.id, b.id, w.elsewhere, ids)
		if err == nil {
			err = p.LetGo(t.Context())
		}
		if _, e := a.q.EndHandOver(t.Context(), a.id, w.elsewhere); err != nil || e != nil {
			t.Fatal(err, e)
		}
		if len(heard.changed) != 5 {
			t.Errorf("the new owner heard of %d messages", len(heard.changed))
		}
		w.check(true)
		for _, g := range w.groups {
			g.whole()
			g.q.Stop(context.Background())
		}
	})
}
