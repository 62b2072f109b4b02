package operator

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/node/internal/controlgroup"
	"github.com/postroad/postroad/node/internal/peer"
	"github.com/postroad/postroad/operate/admin/api"
)

func refused(t *testing.T, what string, err error, exit int, words ...string) {
	t.Helper()
	var said *api.Error
	if !errors.As(err, &said) || said.Exit != exit {
		t.Fatalf("%s: %v; want exit status %d", what, err, exit)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%s does not say %q: %v", what, word, err)
		}
	}
}

// TestNodesAreNamed: by name or by number, and nobody else is.
func TestNodesAreNamed(t *testing.T) {
	op := newWorld(t, 2).operator()
	for _, name := range []string{"mx2", "2"} {
		if m, err := op.find(name); err != nil || m.ID != 2 {
			t.Errorf("%s is %+v, %v", name, m, err)
		}
	}
	refused(t, "a drain of nobody", op.Drain(t.Context(), "mx9", nil),
		api.ExitData, "there is no node mx9")
}

// TestRemovalThatTakesTheMajority: with another member silent the groups cannot do without one that
// counts; the refusal names who is to come back, and nothing has changed.
func TestRemovalThatTakesTheMajority(t *testing.T) {
	w := newWorld(t, 3)
	op := w.operator()
	delete(w.reports, 2)
	delete(w.reports, 3)
	refused(t, "a removal of a dead node", op.Remove(t.Context(), "mx3", false), api.ExitData,
		"mx3 does not answer and was not drained", "postroad cluster replace mx3 NEW", "--force")
	err := op.Remove(t.Context(), "mx3", true)
	refused(t, "a removal", err, api.ExitData, "may have no majority", "bring these back", "mx2")
	refused(t, "a replacement by one that is silent", op.Replace(t.Context(), "mx3", "mx2"),
		api.ExitTemporary, "mx2 does not answer")
	if m, _ := w.state.Member(3); m.State != control.Active {
		t.Errorf("mx3 is %s", m.State)
	}
	w.reports[3] = &peer.Report{}
	refused(t, "a removal of a node that answers", op.Remove(t.Context(), "mx3", true),
		api.ExitData, "still has mail or votes", "postroad cluster drain mx3")
}

// TestRemovalAfterADeath: a node that died a moment ago counts as one that answers for seconds. A
// removal by force waits for that, for so long; one without is told what the node has.
func TestRemovalAfterADeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		op := w.operator()
		died := time.Now()
		delete(w.reports, 3)
		op.o.Reachable = func(id uint16) bool {
			return id != 3 || time.Since(died) < member.GoneAfter
		}
		refused(t, "a removal", op.Remove(t.Context(), "mx3", false), api.ExitData,
			"mx3 does not answer and was not drained")
		if err := op.Remove(t.Context(), "mx3", true); err != nil {
			t.Errorf("by force: %v", err)
		}
		if m, _ := w.state.Member(3); m.State != control.Removed {
			t.Errorf("mx3 is %s", m.State)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		op := w.operator()
		delete(w.reports, 3)
		op.o.Reachable = func(uint16) bool { return true }
		refused(t, "a removal of one that others hear", op.Remove(t.Context(), "mx3", true),
			api.ExitTemporary, "mx3 does not answer this node, but answers others", "7s")
	})
}

// TestDrainOfTheLast is refused before anything is recorded.
func TestDrainOfTheLast(t *testing.T) {
	w := newWorld(t, 2)
	w.ok(w.changes.Drain(t.Context(), 2))
	before := w.store.Index
	refused(t, "a drain of the last", w.operator().Drain(t.Context(), "mx1", nil),
		api.ExitData, "mx1 is the last node that takes mail")
	if w.store.Index != before {
		t.Error("something was recorded")
	}
}

// TestDrainIsWatched: each step is told, and it goes on when nobody watches any more.
func TestDrainIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.leads(2, w.home(2), 5)
		op := w.operator()
		ctx, cancel := context.WithTimeout(t.Context(), 3*drainLook+time.Millisecond)
		defer cancel()
		var steps []api.DrainProgress
		err := op.Drain(ctx, "mx2", func(p api.DrainProgress) { steps = append(steps, p) })
		want := "it goes on draining (mx2: delivering, 5 messages left"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it ends with %v", err)
		}
		if len(steps) != 4 || steps[0].Node != "mx2" || steps[0].Messages != 5 ||
			steps[0].Leads != 1 {
			t.Errorf("steps: %+v", steps)
		}
		if m, _ := w.state.Member(2); m.State != control.Draining {
			t.Errorf("mx2 is %s", m.State)
		}
	})
}

// TestUndrain: a node that is being drained takes part again, and who watches the drain hears it.
func TestUndrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.leads(2, w.home(2), 5)
		op := w.operator()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		steps := 0
		err := op.Drain(ctx, "mx2", func(api.DrainProgress) {
			if steps++; steps == 2 {
				w.ok(op.Undrain(ctx, "mx2"))
			}
		})
		refused(t, "the drain", err, api.ExitTemporary, "mx2 takes part again")
		if m, _ := w.state.Member(2); m.State != control.Active {
			t.Errorf("mx2 is %s", m.State)
		}
		refused(t, "once more", op.Undrain(ctx, "mx2"), api.ExitData, "mx2 is not being drained")
	})
}

// TestToken: the node is open to others before they hear of a secret, and knows it itself.
func TestToken(t *testing.T) {
	w := newWorld(t, 1)
	token, err := w.operator().Token(t.Context(), time.Hour, 1)
	if err != nil || w.opened != 1 {
		t.Fatalf("%v, opened %d times", err, w.opened)
	}
	if all := w.state.TokenList(time.Now()); len(all) != 1 || !w.state.Knows(token, time.Now()) {
		t.Errorf("%v is not among %v", token, all)
	}
}

// TestBackup: it has the rows of the control group, from which they are read again.
func TestBackup(t *testing.T) {
	w := newWorld(t, 2)
	var b bytes.Buffer
	w.ok(w.operator().Backup(t.Context(), &b, false))
	head, rows, err := controlgroup.ReadBackup(&b)
	if err != nil || head.Cluster != "c1" || head.Version != w.state.Version() ||
		len(rows) != len(w.store.KV) {
		t.Errorf("%+v, %d of %d rows, %v", head, len(rows), len(w.store.KV), err)
	}
}
