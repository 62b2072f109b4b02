package maillog

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestDocs: docs/logs.md has every type and every member of events, and every member of lines.
func TestDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	named := func(what, name string) {
		t.Helper()
		if !bytes.Contains(doc, []byte("`"+name+"`")) {
			t.Errorf("docs/logs.md does not name the %s `%s`", what, name)
		}
	}
	for _, name := range typeNames[1:] {
		named("type", name)
	}
	for kind := Reception; kind <= HandedOver; kind++ {
		r := delivered()
		r.Type, r.OrigID, r.OrigRecipient, r.MessageID = kind, testID, "o@x", "<m@x>"
		r.Recipients, r.Refused, r.Protocol, r.Mechanism = 2, []string{"a", "b"}, "ESMTP", "PLAIN"
		r.Classification, r.User, r.PossibleDuplicate, r.NextAttempt = "x", "u", true, r.At
		var event, line map[string]any
		if err := json.Unmarshal(appendEvent(nil, r, "mx1"), &event); err != nil {
			t.Fatal(err)
		}
		for name := range event {
			named("member of events", name)
		}
		l := (&form{json: true}).record(nil, r)
		if err := json.Unmarshal(l, &line); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		for name := range line {
			named("member of lines", name)
		}
		if status, ok := line["status"].(string); ok && !strings.Contains(string(doc), status) {
			t.Errorf("docs/logs.md does not name the status %s", status)
		}
	}
}
