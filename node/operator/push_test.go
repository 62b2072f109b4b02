package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
)

// pushWorld is a world whose members judge configurations by what a test says, and have at once in
// force what was recorded.
type pushWorld struct {
	*world
	refuse map[uint16]string // why a member could not take it
	old    uint16            // knows no pushed configurations
	judged []uint16
}

func newPushWorld(t *testing.T, members int) (*pushWorld, *Operator) {
	w := &pushWorld{world: newWorld(t, members), refuse: map[uint16]string{}}
	op := w.operator()
	op.o.WouldChange = func(*config.Shared) ([]config.Change, error) {
		if why := w.refuse[1]; why != "" {
			return nil, errors.New(why)
		}
		return []config.Change{{Key: "retry.expire", Old: `"5d"`, New: `"4d"`, Reload: true}}, nil
	}
	op.o.Ask = func(ctx context.Context, id uint16, method, path string, body, into any) error {
		last, _ := w.state.LastPushed()
		w.mu.Lock()
		w.own.Config = last.Version
		for id, r := range w.reports {
			if r != nil && w.refuse[id] == "" {
				r.Config = last.Version
			}
		}
		w.mu.Unlock()
		if path != configPath || w.reports[id] == nil {
			return w.ask(ctx, id, method, path, body, into)
		}
		if id == w.old {
			return fmt.Errorf("member %d: %w", id, &cluster.Answer{Status: http.StatusNotFound})
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.judged = append(w.judged, id)
		into.(*configJudgement).Why = w.refuse[id]
		return nil
	}
	return w, op
}

func expiry(d string) *api.PushRequest {
	return &api.PushRequest{Name: "push.toml", Text: "[retry]\nexpire = \"" + d + "\"\n",
		Who: "root@mx1"}
}

// TestPush: all members that answer judge it, one that is away is told of, and each version is in
// the history.
func TestPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, op := newPushWorld(t, 3)
		delete(w.reports, 3)
		dry := expiry("4d")
		dry.Dry = true
		a, err := op.Push(t.Context(), dry)
		if _, pushed := w.state.LastPushed(); err != nil || pushed || a.Failed() != nil ||
			a.String() != `retry.expire: "5d" -> "4d"` || !slices.Equal(w.judged, []uint16{2}) {
			t.Fatalf("a dry run: %+v, %v, judged by %v", a, err, w.judged)
		}
		w.judged = nil
		a, err = op.Push(t.Context(), expiry("4d"))
		if err != nil || a.Version != 1 || !slices.Equal(w.judged, []uint16{2}) {
			t.Fatalf("%+v, %v, judged by %v", a, err, w.judged)
		}
		want := `retry.expire: "5d" -> "4d"` + "\nversion 1 is in force on 2 of 3 nodes\n" +
			"mx3 does not answer: it judges the version when it is back"
		if a.String() != want || a.Failed() != nil {
			t.Errorf("%s, %v", a.String(), a.Failed())
		}
		if again, err := op.Push(t.Context(), expiry("4d")); err != nil || again.Version != 1 {
			t.Errorf("the same again: %+v, %v", again, err)
		}
		_, err = op.Push(t.Context(), expiry("3d"))
		w.ok(err)
		seen := uint64(1)
		stale := expiry("2d")
		stale.Seen = &seen
		_, err = op.Push(t.Context(), stale)
		refused(t, "a push by one who saw another version", err, api.ExitData,
			"version 2 is in force by now, and not 1")
		a, err = op.Push(t.Context(), &api.PushRequest{Rollback: 1})
		last, _ := w.state.LastPushed()
		if err != nil || a.Version != 3 || last.Text != expiry("4d").Text ||
			last.Note != "rollback to version 1" {
			t.Errorf("rollback: %+v, %v, %+v", a, err, last)
		}
		_, err = op.Push(t.Context(), &api.PushRequest{Rollback: 9})
		refused(t, "a rollback to nothing", err, api.ExitData, "there is no version 9")
		all := op.ConfigHistory(t.Context())
		if len(all) != 3 || all[0].Version != 3 || all[2].Who != "root@mx1" ||
			!slices.Equal(all[0].InForce, []string{"mx1", "mx2"}) || len(all[0].Lacking) != 1 ||
			len(all[1].InForce) != 0 || all[1].Text != "" {
			t.Errorf("history: %+v", all)
		}
	})
}

// TestPushRefused: one refusal refuses the whole, by name and with its reason, and nothing is
// recorded.
func TestPushRefused(t *testing.T) {
	w, op := newPushWorld(t, 3)
	before := w.store.Index
	check := func(what string, r *api.PushRequest, words ...string) {
		t.Helper()
		_, err := op.Push(t.Context(), r)
		refused(t, what, err, api.ExitData, append(words, "nothing was changed on any node")...)
		if w.store.Index != before {
			t.Fatalf("%s: something was recorded", what)
		}
	}
	check("what is no configuration",
		&api.PushRequest{Name: "push.toml", Text: "[retry]\nexpire = 4"},
		"push.toml:2:10: retry.expire: is the number 4")
	check("a key of a node", &api.PushRequest{Name: "push.toml", Text: "[node]\nname = \"x\""},
		"push.toml:1:2: node: is each node's own")
	if len(w.judged) > 0 {
		t.Errorf("%v were asked about what this node refuses", w.judged)
	}
	w.refuse[2] = "/etc/postroad.toml:7:1: retry.expire: is shared\n/etc/x:1:1: more"
	w.refuse[1] = "/etc/p.toml:1:1: route: is shared"
	check("one that two nodes refuse", expiry("4d"), "mx2: /etc/postroad.toml:7:1: retry.expire",
		"mx2: /etc/x:1:1: more", "mx1: /etc/p.toml:1:1: route")
	clear(w.refuse)
	w.old = 3
	check("one that a node does not know of", expiry("4d"), "mx3: its version of Postroad")
	w.old = 0
	_, err := op.Push(t.Context(), expiry("4d"))
	w.ok(err)
}

// TestPushNeedsProtocol: nobody is asked while a member is too old.
func TestPushNeedsProtocol(t *testing.T) {
	w, op := newPushWorld(t, 2)
	w.state = control.New()
	op.o.State = w.state
	_, err := op.Push(t.Context(), expiry("4d"))
	refused(t, "a push in an old cluster", err, api.ExitData, "needs protocol")
	if len(w.judged) > 0 {
		t.Error("members were asked")
	}
}

// TestPushedAndLacking: a node that cannot take what was recorded meanwhile is an error, for it
// answers.
func TestPushedAndLacking(t *testing.T) {
	a := api.PushAnswer{Version: 4, Nodes: []api.ConfigNode{{Node: "mx1", Version: 4},
		{Node: "mx2", Version: 3, Why: "its file says so"}}}
	err := a.Failed()
	refused(t, "a node without the version", err, api.ExitTemporary,
		"mx2 cannot take it: its file says so")
	if !strings.HasPrefix(a.String(), "version 4 is in force on 1 of 2 nodes\nmx2 ") {
		t.Error(a.String())
	}
}
