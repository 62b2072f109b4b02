package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
)

// list returns what a filter lists.
func (n *node) list(t *testing.T, f api.Filter) (ms []api.Message, total *api.Total) {
	t.Helper()
	total, err := n.client.List(t.Context(), f, func(raw json.RawMessage) error {
		var m api.Message
		err := json.Unmarshal(raw, &m)
		ms = append(ms, m)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ms, total
}

func TestListHasThePromisedMembers(t *testing.T) {
	n := start(t, nil)
	id := n.submit(t, "a@example.org", "b@example.net", "c@example.com")
	var got map[string]any
	total, err := n.client.List(t.Context(), api.Filter{},
		func(raw json.RawMessage) error { return json.Unmarshal(raw, &got) })
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"queue_name": "active", "queue_id": id, "message_size": 21.0, "sender": "a@example.org",
		"state": "ready", "node": "mx1",
	} {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	arrival := time.Unix(int64(got["arrival_time"].(float64)), 0)
	if d := time.Since(arrival); d < 0 || d > time.Minute {
		t.Errorf("arrival_time %v", arrival)
	}
	r := got["recipients"].([]any)[1].(map[string]any)
	if r["address"] != "c@example.com" || r["state"] != "ready" || r["attempts"] != 0.0 ||
		r["next_attempt"] == nil {
		t.Errorf("recipient %v", r)
	}
	if total.Messages != 1 || total.Recipients != 2 || total.Index == 0 ||
		total.States["ready"] != 2 || total.Node != "mx1" {
		t.Errorf("total %+v", total)
	}
}

func TestFilters(t *testing.T) {
	n := start(t, nil)
	first := n.submit(t, "a@example.org", "b@example.net", "c@example.com")
	second := n.submit(t, "", "d@bücher.example")
	for name, c := range map[string]struct {
		f    api.Filter
		want []string
	}{
		"all":            {api.Filter{}, []string{first, second}},
		"domain":         {api.Filter{Domain: "EXAMPLE.com"}, []string{first}},
		"sender":         {api.Filter{Sender: "<a@example.org>"}, []string{first}},
		"null sender":    {api.Filter{Sender: "<>"}, []string{second}},
		"recipient":      {api.Filter{Recipient: "c@example.com"}, []string{first}},
		"id, upper case": {api.Filter{IDs: []string{strings.ToUpper(second)}}, []string{second}},
		"tenant":         {api.Filter{Tenant: "t1"}, []string{first, second}},
		"other tenant":   {api.Filter{Tenant: "t2"}, nil},
		"campaign":       {api.Filter{Campaign: "spring", Domain: "example.net"}, []string{first}},
		"state":          {api.Filter{States: []string{"deferred", "held"}}, nil},
		"older":          {api.Filter{Older: config.Duration(time.Hour)}, nil},
	} {
		ms, total := n.list(t, c.f)
		var got []string
		for _, m := range ms {
			got = append(got, m.QueueID)
		}
		counted, err := n.client.Count(t.Context(), c.f)
		if err != nil || !reflect.DeepEqual(got, c.want) || counted.Messages != total.Messages ||
			counted.Recipients != total.Recipients {
			t.Errorf("%s: listed %v, want %v; counted %+v (%v), listed %+v", name, got, c.want,
				counted, err, total)
		}
	}
}

func TestVerbs(t *testing.T) {
	n := start(t, nil)
	id := n.submit(t, "a@example.org", "b@example.net", "c@example.com", "d@example.com")
	n.submit(t, "a@example.org", "e@example.com")
	move := func(verb string, f api.Filter) *api.Total {
		t.Helper()
		total, err := n.client.Move(t.Context(), verb, f, nil)
		if err != nil {
			t.Fatalf("%s: %v", verb, err)
		}
		return total
	}
	if got := move("hold",
		api.Filter{Domain: "example.com", IDs: []string{id}}); got.Recipients != 2 ||
		got.Messages != 1 || got.States["held"] != 2 {
		t.Errorf("hold: %+v", got)
	}
	if ms, _ := n.list(t, api.Filter{States: []string{"held"}}); len(ms) != 1 ||
		ms[0].QueueName != "hold" || len(ms[0].Recipients) != 2 {
		t.Errorf("held: %+v", ms)
	}
	if got := move("release", api.Filter{Recipient: "c@example.com"}); got.Recipients != 1 {
		t.Errorf("release: %+v", got)
	}
	if got := move("fail",
		api.Filter{Recipient: "c@example.com", Reason: "wrong\naddress"}); got.Recipients != 1 ||
		got.States["failed"] != 1 {
		t.Errorf("fail: %+v", got)
	}
	if got := move("remove", api.Filter{States: []string{"held"}}); got.Recipients != 1 ||
		got.States["removed"] != 1 {
		t.Errorf("remove: %+v", got)
	}
	move("flush", api.Filter{})
	want := []string{"hold c@example.com held", "hold d@example.com held",
		"release c@example.com ready", "fail c@example.com failed", "remove d@example.com removed"}
	if !slices.Equal(n.moves, want) {
		t.Errorf("the log heard of %q, want %q", n.moves, want)
	}
	raw, err := n.client.Show(t.Context(), id)
	var d api.Detail
	if err != nil || json.Unmarshal(raw, &d) != nil || len(d.Recipients) != 3 ||
		d.Helo != "client.example" {
		t.Fatalf("show: %s, %v", raw, err)
	}
	if r := d.Recipients[1]; r.State != "failed" || r.DelayReason != "wrong address" {
		t.Errorf("failed recipient: %+v", r)
	}
	if got := move("hold", api.Filter{All: true, Domain: "example.org"}); got.Messages != 0 {
		t.Errorf("--all widened a filter: %+v", got)
	}
	if got := move("remove", api.Filter{All: true}); got.Messages != 2 {
		t.Errorf("remove --all: %+v", got)
	}
}

// TestWhatIsRefused: nothing without a filter but what cannot hurt, and no filter that means less
// than it says.
func TestWhatIsRefused(t *testing.T) {
	n := start(t, nil)
	n.submit(t, "a@example.org", "b@example.net")
	for _, verb := range []string{"hold", "release", "fail", "remove"} {
		if _, err := n.client.Move(t.Context(), verb, api.Filter{}, nil); exit(t,
			err) != api.ExitUsage {
			t.Errorf("%s without a filter: %v", verb, err)
		}
	}
	for name, f := range map[string]api.Filter{"state": {States: []string{"sent"}},
		"one state of two": {All: true, States: []string{"held", ""}}} {
		if _, err := n.client.Move(t.Context(), "hold", f, nil); exit(t, err) != api.ExitUsage ||
			f.Check() == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := n.client.Count(t.Context(), api.Filter{IDs: []string{"no id"}}); exit(t,
		err) != api.ExitData {
		t.Errorf("bad ID: %v", err)
	}
	if _, err := n.client.Show(t.Context(), "0000000000000000"); exit(t, err) != api.ExitData {
		t.Errorf("unknown ID: %v", err)
	}
	err := n.client.Call(t.Context(), "POST", "/v1/queue/hold",
		map[string]any{"all": true, "doman": "x"}, &struct{}{})
	if exit(t, err) != api.ExitUsage {
		t.Errorf("unknown member: %v", err)
	}
	if total, err := n.client.Count(t.Context(), api.Filter{}); err != nil ||
		total.States["held"] != 0 || total.Recipients != 1 {
		t.Errorf("something was moved: %+v, %v", total, err)
	}
}

func TestInFlight(t *testing.T) {
	n := start(t, nil)
	n.inFlight = func(mail.ID, uint32) bool { return true }
	n.submit(t, "a@example.org", "b@example.net")
	if ms, _ := n.list(t, api.Filter{}); ms[0].State != "inflight" || ms[0].QueueName != "active" ||
		ms[0].Recipients[0].State != "inflight" || ms[0].Recipients[0].NextAttempt != 0 {
		t.Errorf("%+v", ms[0])
	}
}

// TestDeadSiteTellsWhy: what waits for a site says so, though nothing was recorded for it.
func TestDeadSiteTellsWhy(t *testing.T) {
	until := time.Now().Add(time.Hour)
	n := start(t, nil)
	n.reason = func(domain string) (mail.Attempt, time.Time, bool) {
		return mail.Attempt{Code: 421, Enhanced: "4.3.2", Text: "busy", Remote: "mx",
			RemoteIP: netip.MustParseAddrPort("192.0.2.1:25")}, until, domain == "example.net"
	}
	n.submit(t, "a@example.org", "b@example.net", "c@example.com")
	ms, _ := n.list(t, api.Filter{})
	dead, well := ms[0].Recipients[0], ms[0].Recipients[1]
	if dead.DelayReason != "host mx[192.0.2.1] said: 421 4.3.2 busy" ||
		dead.NextAttempt != until.Unix() {
		t.Errorf("at the dead site: %+v", dead)
	}
	if well.DelayReason != "" || well.NextAttempt >= until.Unix() {
		t.Errorf("at another: %+v", well)
	}
}

// TestLimitsAreTold: what a limit keeps from being tried says which, unless it is suspended.
func TestLimitsAreTold(t *testing.T) {
	n := start(t, nil)
	n.waits = func(domain string, due time.Time) string {
		if due.After(time.Now()) || domain == "example.org" {
			return ""
		}
		return "rate 5/s of shaping " + domain
	}
	n.suspension = func(domain string, _ *mail.Origin) (string, time.Time, bool) {
		return "for a test", time.Time{}, domain == "example.com"
	}
	n.submit(t, "a@example.org", "b@example.net", "c@example.com", "d@example.org")
	ms, _ := n.list(t, api.Filter{})
	var got []string
	for _, r := range ms[0].Recipients {
		got = append(got, r.Waits)
	}
	if want := []string{"rate 5/s of shaping example.net", "", ""}; !slices.Equal(got, want) {
		t.Errorf("they wait for %q, want %q", got, want)
	}
}

// TestReasonSaysWhoSpoke: only what a peer said is told as its words.
func TestReasonSaysWhoSpoke(t *testing.T) {
	at := netip.MustParseAddrPort("192.0.2.1:25")
	for _, c := range []struct {
		a    mail.Attempt
		want string
	}{
		{mail.Attempt{Code: 550, Enhanced: "5.0.0", Text: "no", Remote: "mx", RemoteIP: at},
			"host mx[192.0.2.1] said: 550 no"},
		{mail.Attempt{Code: 421, Remote: "mx", RemoteIP: at}, "host mx[192.0.2.1] said: 421"},
		{mail.Attempt{Enhanced: "4.4.2", Text: "Timed out", Remote: "mx", RemoteIP: at},
			"Timed out"},
		{mail.Attempt{Code: 452, Enhanced: "4.2.2", Text: "full", Remote: "local"}, "full"},
		{mail.Attempt{Code: 452, Enhanced: "4.2.2", Text: "full", Remote: "/run/lmtp"},
			"/run/lmtp said: 452 4.2.2 full"},
	} {
		if got := reason(&c.a); got != c.want {
			t.Errorf("%+v: %q, want %q", c.a, got, c.want)
		}
	}
}

// TestManyIDs sends more IDs than one request takes.
func TestManyIDs(t *testing.T) {
	n := start(t, nil)
	id := n.submit(t, "a@example.org", "b@example.net")
	g := mail.NewIDs(2, time.Time{})
	f := api.Filter{IDs: []string{id}}
	for range 2*client.IDsPerRequest + 10 {
		f.IDs = append(f.IDs, g.Next(time.Now()).String())
	}
	total, err := n.client.Count(t.Context(), f)
	if err != nil || total.Messages != 1 || total.States["ready"] != 1 {
		t.Errorf("%+v, %v", total, err)
	}
}

func TestStoppedReaderEndsAListing(t *testing.T) {
	n := start(t, nil)
	for range 3 {
		n.submit(t, "a@example.org", "b@example.net")
	}
	enough := errors.New("enough")
	seen := 0
	_, err := n.client.List(t.Context(), api.Filter{}, func(json.RawMessage) error {
		seen++
		return enough
	})
	if !errors.Is(err, enough) || seen != 1 {
		t.Errorf("%v after %d", err, seen)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.client.List(ctx, api.Filter{}, nil); exit(t, err) != api.ExitTemporary {
		t.Errorf("interrupted: %v", err)
	}
}
