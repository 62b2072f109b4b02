package admin

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/operate/admin/api"
)

// TestNothingFromAnOldRollCall: a node that does not know which queues, users and suspensions there
// are says so in every answer that rests on it. What it finds and moves all the same is told.
func TestNothingFromAnOldRollCall(t *testing.T) {
	var old error
	w := startWorld(t, 3, func(i int, o *Options) {
		if i == 0 {
			o.Suspensions, o.CurrentWait = &fakeSuspensions{}, time.Nanosecond
			o.Current = func(context.Context) error { return old }
		}
	})
	n := w.nodes[0]
	id := n.submit(t, "a@example.org", "b@example.net")
	w.nodes[1].submit(t, "a@example.org", "b@example.net")
	nothing := func(json.RawMessage) error { return nil }
	verbs := func(want int) {
		t.Helper()
		ctx := t.Context()
		_, list := n.client.List(ctx, api.Filter{}, nothing)
		_, count := n.client.Count(ctx, api.Filter{})
		_, hold := n.client.Move(ctx, "hold", api.Filter{All: true}, nil)
		_, traced := n.client.Trace(ctx, api.TraceRequest{IDs: []string{id}}, nothing)
		_, suspended := n.client.Suspend(
			ctx,
			"suspend",
			api.SuspendRequest{Kind: "domain", Name: "example.net", Reason: "x"},
		)
		for what, err := range map[string]error{
			"list": list, "count": count, "hold": hold, "trace": traced, "suspend": suspended,
			"suspensions": n.client.Suspensions(ctx, nothing),
			"users":       n.client.Users(ctx, nothing), "domains": n.client.Domains(ctx, nothing),
			"stages": n.client.Stages(ctx, nothing),
		} {
			if exit(t, err) != want || want != 0 && !strings.Contains(err.Error(), "no leader") {
				t.Errorf("%s: %v, want exit status %d", what, err, want)
			}
		}
	}
	verbs(0)
	old = errors.New("the control group has no leader")
	verbs(api.ExitTemporary)
	if err := n.client.ChangeDomain(t.Context(), "remove",
		api.DomainRequest{Name: "nowhere.example"}); exit(
		t,
		err,
	) != api.ExitTemporary {
		t.Errorf("removing a domain: %v", err)
	}
	total, _ := n.client.Count(t.Context(), api.Filter{})
	if total == nil || total.States["held"] != 2 || len(total.Groups) != 3 {
		t.Errorf("what was found is not told: %+v", total)
	}
}

// TestLostWhileAsked: what a node found in a queue that it had lost meanwhile is of the past,
// though nothing was there to be moved.
func TestLostWhileAsked(t *testing.T) {
	held := true
	n := start(t, func(o *Options) {
		o.OwnerWait = time.Nanosecond
		queues := o.Queues
		o.Queues = func() []LocalQueue {
			all := queues()
			all[0].Holds = func() bool { return held }
			return all
		}
	})
	for _, verb := range []string{"hold", "remove", "fail"} {
		held = true
		if total, err := n.client.Move(t.Context(), verb, api.Filter{All: true}, nil); err != nil ||
			total.Recipients != 0 {
			t.Errorf("%s: %+v, %v", verb, total, err)
		}
		held = false
		if _, err := n.client.Move(t.Context(), verb, api.Filter{All: true}, nil); exit(
			t,
			err,
		) != api.ExitTemporary {
			t.Errorf("%s of what was lost: %v", verb, err)
		}
	}
}
