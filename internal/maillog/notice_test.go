package maillog

import (
	"bytes"
	"encoding/json"
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
