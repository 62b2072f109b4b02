package maillog

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestNotice: alerting matches an event's name and fields, in the text and in JSON; nothing of a
// value can add a field or a line.
func TestNotice(t *testing.T) {
	var text, js bytes.Buffer
	fields := []Field{{"member", "mx3"}, {"since", "2026-01-01T00:00:00Z\n\"msg\":\"x"}}
	for out, o := range map[*bytes.Buffer]Options{&text: {}, &js: {JSON: true}} {
		o.Lines = out
		l := open(t, o)
		l.Notice("error", "member_missing", fields, `mx3 is "gone"`)
		l.Notice("info", "member_back", nil, "mx3 is back")
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := "error: event=member_missing member=mx3 since=2026-01-01T00:00:00Z?\"msg\":\"x: mx3 " +
		"is \"gone\"\nevent=member_back: mx3 is back\n"
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", text.String(), want)
	}
	dec := json.NewDecoder(&js)
	for _, want := range []map[string]string{
		{"level": "error", "event": "member_missing", "member": "mx3",
			"since": `2026-01-01T00:00:00Z?"msg":"x`, "msg": `mx3 is "gone"`},
		{"level": "info", "event": "member_back", "msg": "mx3 is back"},
	} {
		got := map[string]string{}
		if err := dec.Decode(&got); err != nil || len(got) != len(want)+2 ||
			got["program"] != "postroad" {
			t.Fatalf("%v, %v", got, err)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s is %q, want %q", k, got[k], v)
			}
		}
	}
}

// TestPart: a line of a part has the part's name, and in JSON the members that the caller gives.
func TestPart(t *testing.T) {
	var text, js bytes.Buffer
	for out, o := range map[*bytes.Buffer]Options{&text: {Prefix: true, Host: "h"},
		&js: {JSON: true}} {
		o.Lines = out
		l := open(t, o)
		l.Part("pop3", []Field{{"sasl_username", "a\"b"}}, "user=<a\"b>\n")
		l.Log(&Record{Type: Rejection, Protocol: "POP3S", Mechanism: "USER", User: "x", Code: 535,
			Text: "wrong"})
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"h postroad/pop3[", "]: user=<a\"b>?\n",
		"]: warning: unknown[]: SASL USER authentication failed: wrong, sasl_username=x\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in %s", want, text.String())
		}
	}
	dec := json.NewDecoder(&js)
	for _, want := range []map[string]any{
		{"program": "postroad/pop3", "sasl_username": `a"b`, "msg": `user=<a"b>?`},
		{"program": "postroad/pop3", "sasl_username": "x", "sasl_method": "USER",
			"proto": "POP3S", "status": "rejected"},
	} {
		got := map[string]any{}
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s is %v, want %v", k, got[k], v)
			}
		}
	}
}
