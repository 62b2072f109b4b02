package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/operate/admin/api"
)

// fakeSuspensions notes what it was told.
type fakeSuspensions struct {
	did     []string
	missing []api.Missing
	broken  error
}

func (f *fakeSuspensions) Suspend(
	_ context.Context, s api.Suspension, lasts time.Duration,
) (api.Acknowledgement, error) {
	f.did = append(f.did, fmt.Sprintf("suspend %s %s %q %v", s.Kind, s.Name, s.Reason, lasts))
	return api.Acknowledgement{Suspension: s,
			Groups: []api.Acknowledged{{Group: 2, Node: "mx1", Index: 17}}, Missing: f.missing},
		f.broken
}

func (f *fakeSuspensions) Resume(_ context.Context, s api.Suspension) (api.Acknowledgement, error) {
	f.did = append(f.did, fmt.Sprintf("resume %s %s", s.Kind, s.Name))
	return api.Acknowledgement{Suspension: s}, f.broken
}

func (f *fakeSuspensions) Suspensions() []api.Suspension {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return []api.Suspension{{Kind: "tenant", Name: "t2", Reason: "y",
		Since: api.At(at.Add(time.Hour))},
		{Kind: "domain", Name: "a.example", Reason: "x", Since: api.At(at),
			Until: api.At(at.Add(2 * time.Hour))}}
}

func TestSuspend(t *testing.T) {
	f := &fakeSuspensions{}
	n := start(t, func(o *Options) { o.Suspensions = f })
	ctx := t.Context()
	a, err := n.client.Suspend(ctx, "suspend",
		api.SuspendRequest{Kind: "domain", Name: "BÜcher.Example.", Reason: "they asked",
			For: config.Duration(2 * time.Hour)})
	if err != nil || a.Node != "mx1" || len(a.Groups) != 1 ||
		a.Groups[0] != (api.Acknowledged{Group: 2, Node: "mx1", Index: 17}) {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := n.client.Suspend(ctx, "resume",
		api.SuspendRequest{Kind: "campaign", Name: "Spring Sale"}); err != nil {
		t.Error(err)
	}
	if want := []string{`suspend domain xn--bcher-kva.example "they asked" 2h0m0s`,
		"resume campaign Spring Sale"}; !slices.Equal(f.did, want) {
		t.Errorf("it heard %q", f.did)
	}
	var listed []string
	err = n.client.Suspensions(ctx, func(raw json.RawMessage) error {
		listed = append(listed, string(raw))
		return nil
	})
	if want := []string{`{"kind":"domain","name":"a.example","reason":"x","since":"2026-01-01T00:00:00.000Z","until":"2026-01-01T02:00:00.000Z"}`,
		`{"kind":"tenant","name":"t2","reason":"y","since":"2026-01-01T01:00:00.000Z"}`}; err != nil ||
		!slices.Equal(listed, want) {
		t.Errorf("listed %q, %v", listed, err)
	}
	// A group that does not acknowledge it is named, and the answer is there all the same.
	f.missing = []api.Missing{{Group: 3, Home: "mx2", Why: api.NoOwner}}
	a, err = n.client.Suspend(ctx, "suspend", api.SuspendRequest{Kind: "site", Name: "mx.a.example",
		Reason: "x"})
	if exit(t, err) != api.ExitTemporary ||
		!strings.Contains(err.Error(), "group 3 (the home of mx2)") || a == nil ||
		len(a.Groups) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	f.broken = errors.New("no quorum")
	if _, err = n.client.Suspend(ctx, "suspend",
		api.SuspendRequest{Kind: "site", Name: "mx.a.example", Reason: "x"}); exit(t,
		err) != api.ExitTemporary {
		t.Error(err)
	}
}

func TestSuspendRefusals(t *testing.T) {
	f := &fakeSuspensions{}
	n := start(t, func(o *Options) { o.Suspensions = f })
	for _, c := range []struct {
		r    api.SuspendRequest
		want int
	}{
		{api.SuspendRequest{Kind: "sender", Name: "a@b", Reason: "x"}, api.ExitUsage},
		{api.SuspendRequest{Name: "x", Reason: "x"}, api.ExitUsage},
		{api.SuspendRequest{Kind: "domain", Name: "a.example"}, api.ExitUsage},
		{api.SuspendRequest{Kind: "domain", Name: "a.example", Reason: "  "}, api.ExitUsage},
		{api.SuspendRequest{Kind: "domain", Reason: "x"}, api.ExitData},
		{api.SuspendRequest{Kind: "domain", Name: "x@a.example", Reason: "x"}, api.ExitData},
		{api.SuspendRequest{Kind: "domain", Name: "*.example", Reason: "x"}, api.ExitData},
		{api.SuspendRequest{Kind: "tenant", Name: "a\nb", Reason: "x"}, api.ExitData},
		{api.SuspendRequest{Kind: "tenant", Name: strings.Repeat("x", 256), Reason: "x"},
			api.ExitData}, {api.SuspendRequest{Kind: "tenant", Name: "x", Reason: "a\x1b[2J"},
			api.ExitData},
		{api.SuspendRequest{Kind: "tenant", Name: "x", Reason: strings.Repeat("x", 201)},
			api.ExitData},
		{api.SuspendRequest{Kind: "tenant", Name: "x", Reason: "x",
			For: config.Duration(20 * 365 * 24 * time.Hour)}, api.ExitData},
	} {
		if _, err := n.client.Suspend(t.Context(), "suspend", c.r); exit(t, err) != c.want {
			t.Errorf("%+v: %v", c.r, err)
		}
		// Nor does the node take it from another client.
		if err := n.client.Call(t.Context(), "POST", "/v1/suspend", c.r, &struct{}{}); exit(t,
			err) != c.want {
			t.Errorf("at the node: %+v: %v", c.r, err)
		}
	}
	if len(f.did) > 0 {
		t.Errorf("it heard %q", f.did)
	}
	for _, path := range []string{"/v1/suspend", "/v1/resume"} {
		if status, _ := n.request(t, "POST", path, nil); status != 403 {
			t.Errorf("%s without the token: %d", path, status)
		}
	}
}

// TestSuspendedIsShown: a listing tells why a recipient waits, and until when.
func TestSuspendedIsShown(t *testing.T) {
	until := time.Now().Add(3 * time.Hour)
	n := start(t, nil)
	n.reason = func(string) (mail.Attempt, time.Time, bool) {
		return mail.Attempt{Text: "connection refused"}, time.Time{}, true
	}
	n.suspension = func(domain string, o *mail.Origin) (string, time.Time, bool) {
		return "too many bounces", until, domain == "a.example" && o.Campaign == "spring"
	}
	id := n.submit(t, "s@x.example", "u@a.example", "u@b.example")
	raw, err := n.client.Show(t.Context(), id)
	var d api.Detail
	if err != nil || json.Unmarshal(raw, &d) != nil || len(d.Recipients) != 2 {
		t.Fatalf("%s, %v", raw, err)
	}
	if r := d.Recipients[0]; r.State != "ready" || r.DelayReason != "suspended: too many bounces" ||
		r.NextAttempt != until.Unix() {
		t.Errorf("the suspended one: %+v", r)
	}
	if r := d.Recipients[1]; r.DelayReason != "connection refused" {
		t.Errorf("the other one: %+v", r)
	}
}
