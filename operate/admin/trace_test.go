package admin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/operate/admin/api"
)

// log writes an event of a message at a node.
func (w *world) log(t *testing.T, node int, what maillog.Type, id, recipient string, at time.Time) {
	t.Helper()
	parsed, err := mail.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	w.logs[node].Log(&maillog.Record{Type: what, At: at, ID: parsed, Sender: "a@example.org",
		Recipient: recipient, Attempts: 1})
}

// trace returns the steps as "node Type" or "node queued".
func (n *node) trace(
	t *testing.T, r api.TraceRequest,
) (steps []string, total *api.Total, err error) {
	t.Helper()
	last := time.Time{}
	total, err = n.client.Trace(t.Context(), r, func(raw json.RawMessage) error {
		var item api.TraceItem
		var event struct{ Type, ID string }
		if err := json.Unmarshal(raw, &item); err != nil || item.At.Before(last) {
			t.Errorf("%s: %v", raw, err)
		}
		last = item.At.Time
		if item.Queue != nil {
			steps = append(steps, item.Node+" queued "+item.Queue.Recipients[0].Address)
			return nil
		}
		if err := json.Unmarshal(item.Event, &event); err != nil || event.ID != item.ID {
			t.Errorf("%s: %v", raw, err)
		}
		steps = append(steps, item.Node+" "+event.Type)
		return nil
	})
	return steps, total, err
}

// TestJourneyOverNodes: accepted at one, taken over by another, and still waiting for one recipient
// there.
func TestJourneyOverNodes(t *testing.T) {
	w := startWorld(t, 3, nil)
	id := w.nodes[0].submit(t, "a@example.org", "b@example.net", "c@example.com")
	other := w.nodes[1].submit(t, "a@example.org", "x@example.net")
	now := time.Now().Add(-time.Minute)
	w.log(t, 0, maillog.Reception, id, "b@example.net", now)
	w.log(t, 0, maillog.TransientFailure, id, "b@example.net", now.Add(time.Millisecond))
	w.log(t, 0, maillog.TransientFailure, id, "c@example.com", now.Add(time.Millisecond))
	w.log(t, 1, maillog.Reception, other, "x@example.net", now.Add(2*time.Millisecond))
	w.log(t, 2, maillog.TransientFailure, id, "c@example.com", now.Add(3*time.Millisecond))
	w.log(t, 2, maillog.Delivery, id, "b@example.net", now.Add(4*time.Millisecond))
	w.move(2, 2)
	if _, err := w.nodes[1].client.Move(t.Context(), "remove",
		api.Filter{IDs: []string{id}, Recipient: "b@example.net"}, nil); err != nil {
		t.Fatal(err)
	}
	whole := []string{"mx1 Reception", "mx1 TransientFailure", "mx1 TransientFailure",
		"mx3 TransientFailure", "mx3 Delivery", "mx3 queued c@example.com"}
	ofC := []string{"mx1 Reception", "mx1 TransientFailure", "mx3 TransientFailure",
		"mx3 queued c@example.com"}
	for i, n := range w.nodes {
		for name, c := range map[string]struct {
			r    api.TraceRequest
			want []string
		}{
			"by ID": {api.TraceRequest{IDs: []string{strings.ToUpper(id)}}, whole},
			"by ID and recipient": {api.TraceRequest{IDs: []string{id},
				Recipient: "C@example.com"}, ofC},
			"by recipient": {api.TraceRequest{Recipient: "<c@example.com>"}, ofC},
			"by recipient, sender": {api.TraceRequest{Recipient: "c@example.com",
				Sender: "a@example.org"}, ofC},
			"of what only waits": {api.TraceRequest{IDs: []string{other}},
				[]string{"mx2 Reception", "mx2 queued x@example.net"}},
			"found through a queue": {api.TraceRequest{Recipient: "x@example.net",
				Since: config.Duration(time.Millisecond)},
				[]string{"mx2 Reception", "mx2 queued x@example.net"}},
		} {
			if got, total, err := n.trace(t, c.r); err != nil || !slices.Equal(got, c.want) ||
				total.Truncated {
				t.Errorf("mx%d, %s: %q, want %q; %v", i+1, name, got, c.want, err)
			}
		}
	}
	for _, r := range []api.TraceRequest{{Recipient: "nobody@example.net"},
		{Recipient: "c@example.com", Sender: "<>"}, {IDs: []string{"0000000000000000"}}} {
		if got, _, err := w.nodes[0].trace(t, r); exit(t, err) != api.ExitData || got != nil {
			t.Errorf("%+v: %q, %v", r, got, err)
		}
	}
	for _, r := range []api.TraceRequest{{}, {IDs: make([]string, api.MaxTraced+1)}} {
		if _, _, err := w.nodes[0].trace(t, r); exit(t, err) != api.ExitUsage {
			t.Errorf("%d IDs: %v", len(r.IDs), err)
		}
	}
}

// TestJourneyByName: a message by its Message-ID and by the session it came in by, and what was
// refused, of one recipient or with the message.
func TestJourneyByName(t *testing.T) {
	w := startWorld(t, 2, nil)
	ids, at := mail.NewIDs(9, time.Time{}), time.Now().Add(-time.Minute)
	id := ids.Next(at)
	log := func(node int, r maillog.Record) {
		at = at.Add(time.Millisecond)
		r.At, r.Sender = at, "a@example.org"
		w.logs[node].Log(&r)
	}
	log(0, maillog.Record{Type: maillog.Rejection, Recipient: "nobody@example.net",
		Session: "s-1", Command: "RCPT"})
	log(0, maillog.Record{Type: maillog.Reception, ID: id, Recipient: "b@example.net",
		MessageID: "<m@example.org>", Session: "s-1"})
	log(1, maillog.Record{Type: maillog.Delivery, ID: id, Recipient: "b@example.net"})
	log(1, maillog.Record{Type: maillog.Rejection, Recipient: "b@example.net",
		Refused: []string{"b@example.net", "c@example.net"}, MessageID: "<big@example.org>",
		Session: "s-2", Command: "DATA"})
	accepted := []string{"mx1 Reception", "mx2 Delivery"}
	for _, c := range []struct {
		r    api.TraceRequest
		name string
		want []string
	}{
		{name: "<m@example.org>", want: accepted},
		{name: "m@example.org", want: accepted},
		{name: "s-1", want: append([]string{"mx1 Rejection"}, accepted...)},
		{name: "<big@example.org>", want: []string{"mx2 Rejection"}},
		{r: api.TraceRequest{Recipient: "nobody@example.net"}, want: []string{"mx1 Rejection"}},
		{r: api.TraceRequest{Recipient: "C@example.net"}, want: []string{"mx2 Rejection"}},
		{r: api.TraceRequest{Recipient: "b@example.net"}, want: append(slices.Clone(accepted),
			"mx2 Rejection")},
		{r: api.TraceRequest{MessageIDs: []string{"big@example.org"}}, name: id.String(),
			want: append(slices.Clone(accepted), "mx2 Rejection")},
	} {
		if c.name != "" {
			c.r.Name(c.name)
		}
		for i, n := range w.nodes {
			if got, _, err := n.trace(t, c.r); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("mx%d, %+v: %q, want %q; %v", i+1, c.r, got, c.want, err)
			}
		}
	}
	r := api.TraceRequest{MessageIDs: []string{"<none@example.org>"}}
	if got, _, err := w.nodes[0].trace(t, r); exit(t, err) != api.ExitData {
		t.Errorf("nothing: %q, %v", got, err)
	}
}

// TestRefusalsAreBounded: a flood of them is cut, and that is said; the messages are all there.
func TestRefusalsAreBounded(t *testing.T) {
	w := startWorld(t, 1, nil)
	ids, at := mail.NewIDs(9, time.Time{}), time.Now().Add(-time.Hour)
	id := ids.Next(at)
	w.log(t, 0, maillog.Reception, id.String(), "b@example.net", at)
	for i := range api.MaxTraced + 5 {
		w.logs[0].Log(&maillog.Record{Type: maillog.Rejection, Recipient: "b@example.net",
			At: at.Add(time.Duration(i+1) * time.Millisecond)})
	}
	r := api.TraceRequest{Recipient: "b@example.net"}
	got, total, err := w.nodes[0].trace(t, r)
	if err != nil || !total.Truncated || len(got) != api.MaxTraced+1 || got[0] != "mx1 Reception" {
		t.Errorf("%d steps, truncated %v; %v", len(got), total.Truncated, err)
	}
}

// TestJourneyOfAList: what was made of a message is part of its journey, wherever it went.
func TestJourneyOfAList(t *testing.T) {
	w := startWorld(t, 2, nil)
	ids, at := mail.NewIDs(9, time.Time{}), time.Now().Add(-time.Minute)
	id, made := ids.Next(at), ids.Next(at)
	log := func(node int, r maillog.Record) {
		at = at.Add(time.Millisecond)
		r.At, r.Sender = at, "a@example.org"
		w.logs[node].Log(&r)
	}
	log(0, maillog.Record{Type: maillog.Reception, ID: id, Recipient: "alice@example.net"})
	log(0, maillog.Record{Type: maillog.Reception, ID: made, OrigID: id, Recipient: "b@example.net",
		OrigRecipient: "team@example.net"})
	log(1, maillog.Record{Type: maillog.Delivery, ID: made, Recipient: "b@example.net"})
	log(0, maillog.Record{Type: maillog.Delivery, ID: id, Recipient: "alice@example.net",
		OrigRecipient: "sales@example.net"})
	for name, c := range map[string]struct {
		r    api.TraceRequest
		want []string
	}{
		"by ID": {api.TraceRequest{IDs: []string{id.String()}},
			[]string{"mx1 Reception", "mx1 Reception", "mx2 Delivery", "mx1 Delivery"}},
		"of the copy": {api.TraceRequest{IDs: []string{made.String()}},
			[]string{"mx1 Reception", "mx2 Delivery"}},
		"by list": {api.TraceRequest{Recipient: "Team@example.net"}, []string{"mx1 Reception"}},
		"by alias": {api.TraceRequest{Recipient: "sales@example.net"},
			[]string{"mx1 Reception", "mx1 Reception", "mx1 Delivery"}},
		"of a member": {api.TraceRequest{IDs: []string{id.String()}, Recipient: "b@example.net"},
			[]string{"mx1 Reception", "mx1 Reception", "mx2 Delivery"}},
	} {
		for i, n := range w.nodes {
			if got, _, err := n.trace(t, c.r); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("mx%d, %s: %q, want %q; %v", i+1, name, got, c.want, err)
			}
		}
	}
}

// TestJourneyToTheReport: the report on a message, and on what was made of it, is part of its
// journey, and says which message it is about.
func TestJourneyToTheReport(t *testing.T) {
	w := startWorld(t, 2, nil)
	ids, at := mail.NewIDs(9, time.Time{}), time.Now().Add(-time.Minute)
	id, copied, report := ids.Next(at), ids.Next(at), ids.Next(at)
	for i, r := range []maillog.Record{
		{Type: maillog.Reception, ID: id, Sender: "a@example.org", Recipient: "b@example.net"},
		{Type: maillog.Reception, ID: copied, OrigID: id, Recipient: "c@example.net"},
		{Type: maillog.Bounce, ID: copied, Recipient: "c@example.net"},
		{Type: maillog.Reception, ID: report, OrigID: copied, Recipient: "o@example.org",
			Report: "non-delivery notification", Protocol: "internal"},
		{Type: maillog.Delivery, ID: report, Recipient: "o@example.org"},
	} {
		r.At = at.Add(time.Duration(i) * time.Millisecond)
		w.logs[i%2].Log(&r)
	}
	all := []string{"mx1 Reception", "mx2 Reception", "mx1 Bounce", "mx2 Reception", "mx1 Delivery"}
	for of, want := range map[mail.ID][]string{id: all, copied: all[1:], report: all[3:]} {
		r := api.TraceRequest{IDs: []string{of.String()}}
		if got, _, err := w.nodes[0].trace(t, r); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %q, want %q; %v", of, got, want, err)
		}
	}
}

// TestJourneyWithoutANode: its log may know more, and that is said.
func TestJourneyWithoutANode(t *testing.T) {
	w := startWorld(t, 3, func(i int, o *Options) {
		if i == 2 {
			o.Events = ""
		}
	})
	id := w.nodes[0].submit(t, "a@example.org", "b@example.net")
	w.log(t, 0, maillog.Reception, id, "b@example.net", time.Now())
	w.wires[1].Close()
	want := []string{"mx1 Reception", "mx1 queued b@example.net"}
	got, _, err := w.nodes[0].trace(t, api.TraceRequest{IDs: []string{id}})
	if exit(t, err) != api.ExitTemporary || !slices.Equal(got, want) ||
		!strings.Contains(err.Error(), "mx2: it cannot be reached") ||
		!strings.Contains(err.Error(), "mx3: it keeps no event log") {
		t.Errorf("%q, %v", got, err)
	}
	if _, _, err := w.nodes[0].trace(t, api.TraceRequest{Recipient: "nobody@example.net"}); exit(t,
		err) != api.ExitTemporary {
		t.Errorf("nothing found, but not all were asked: %v", err)
	}
}

// TestLongJourneyIsCut keeps the newest steps and says so.
func TestLongJourneyIsCut(t *testing.T) {
	w := startWorld(t, 2, nil)
	ids, start := mail.NewIDs(9, time.Time{}), time.Now().Add(-time.Hour)
	newest := ""
	for i := range api.MaxTraced + 10 {
		at := start.Add(time.Duration(i) * time.Second)
		newest = ids.Next(at).String()
		for k := range 6 {
			w.log(t, (i+k)%2, maillog.TransientFailure, newest, "b@example.net",
				at.Add(time.Duration(k)*time.Millisecond))
		}
	}
	n, last := 0, api.TraceItem{}
	total, err := w.nodes[0].client.Trace(t.Context(), api.TraceRequest{Recipient: "b@example.net"},
		func(raw json.RawMessage) error {
			n++
			return json.Unmarshal(raw, &last)
		})
	if err != nil || !total.Truncated || n != maxEvents || last.ID != newest {
		t.Errorf("%d steps, the last of %s, want %s; %+v, %v", n, last.ID, newest, total, err)
	}
}

// TestAcceptanceComesFirst: an attempt may be noted before the acceptance, of the same moment or of
// an earlier one.
func TestAcceptanceComesFirst(t *testing.T) {
	at, c := time.Now(), collection{}
	add := func(kind, id string, after time.Duration) {
		event := fmt.Sprintf(`{"type":%q,"id":%q}`, kind, id)
		c.add(api.TraceItem{At: api.At(at.Add(after)), ID: id, Event: json.RawMessage(event)})
	}
	add("Reception", "a", 0) // the newest first: the log is read backwards
	add("Delivery", "a", 0)
	add("Reception", "b", 3*time.Millisecond)
	add("TransientFailure", "b", 2*time.Millisecond)
	add("TransientFailure", "b", time.Millisecond)
	add("Delivery", "c", time.Millisecond)
	var got []string
	for _, s := range c.sorted() {
		got = append(got, s.ID+string(s.Event[9:12])+s.At.Sub(at).String())
	}
	want := []string{`aRec0s`, `aDel0s`, `cDel1ms`, `bRec3ms`, `bTra1ms`, `bTra2ms`}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestStepsOfOneMomentKeepTheirOrder: the log is read backwards.
func TestStepsOfOneMomentKeepTheirOrder(t *testing.T) {
	at, c := time.Now(), collection{}
	for _, id := range []string{"y", "x"} {
		c.add(api.TraceItem{At: api.At(at.Add(-time.Hour)), ID: id, Queue: &api.Message{}})
	}
	for i := 3*maxEvents - 1; i >= 0; i-- {
		c.add(api.TraceItem{At: api.At(at), ID: fmt.Sprintf("%05d", i)})
	}
	steps := c.sorted()
	if !c.dropped || len(steps) != maxEvents ||
		!slices.IsSortedFunc(steps, func(a, b api.TraceItem) int {
			return strings.Compare(a.ID, b.ID)
		}) {
		t.Errorf("%d steps from %s to %s", len(steps), steps[0].ID, steps[len(steps)-1].ID)
	}
}
