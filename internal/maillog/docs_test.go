package maillog

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// TestDocs: docs/events.md has every type and every member of events, with its type, and
// docs/logs.md has every member of lines, and each status with the program that says it.
func TestDocs(t *testing.T) {
	read := func(name string) []byte {
		doc, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	events, logs := read("events.md"), read("logs.md")
	for _, name := range typeNames[1:] {
		if !bytes.Contains(events, []byte("| `"+name+"` |")) {
			t.Errorf("docs/events.md does not name the type `%s`", name)
		}
	}
	types := map[string]string{} // of the members of events
	for line := range strings.Lines(string(events)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		names, kinds := strings.Split(cells[1], ","), strings.Split(cells[2], ",")
		for i, name := range names {
			if len(names) == len(kinds) {
				types[strings.Trim(name, " `")] = strings.TrimSpace(kinds[i])
			}
		}
	}
	relays := map[string]bool{}
	for kind := Reception; kind <= HandedOver; kind++ {
		r := delivered()
		r.Type, r.OrigID, r.OrigRecipient, r.MessageID = kind, testID, "o@x", "<m@x>"
		r.Recipients, r.Refused, r.Protocol, r.Mechanism = 2, []string{"a", "b"}, "ESMTP", "PLAIN"
		r.Classification, r.User, r.PossibleDuplicate, r.NextAttempt = "x", "u", true, r.At
		var event, line map[string]any
		if err := json.Unmarshal(appendEvent(nil, r, "mx1"), &event); err != nil {
			t.Fatal(err)
		}
		for name, value := range event {
			if got := jsonKind(value); types[name] != got {
				t.Errorf("docs/events.md has %q as the type of `%s`, which is %q", types[name],
					name, got)
			}
		}
		l := (&form{json: true}).record(nil, r)
		if err := json.Unmarshal(l, &line); err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		for name := range line {
			if !bytes.Contains(logs, []byte("`"+name+"`")) {
				t.Errorf("docs/logs.md does not name the member of lines `%s`", name)
			}
		}
		status, ok := line["status"].(string)
		if ok && !strings.Contains(string(logs), status) {
			t.Errorf("docs/logs.md does not name the status %s", status)
		}
		if kind >= Delivery && kind <= AdminBounce {
			saidBy(t, logs, r.component(), kind.status())
		}
		for _, peer := range []string{"", "local"} {
			r.Peer, r.Relay = netip.AddrPort{}, peer
			relays["relay="+string(appendRelay(nil, r))] = true
		}
	}
	for relay := range relays {
		if !bytes.Contains(logs, []byte(relay)) {
			t.Errorf("docs/logs.md does not show %s", relay)
		}
	}
}

// saidBy looks for a row of docs/logs.md that has a status as one of a program's.
func saidBy(t *testing.T, logs []byte, program, status string) {
	t.Helper()
	for line := range bytes.Lines(logs) {
		if bytes.HasPrefix(line, []byte("| `postroad/"+program+"` |")) &&
			bytes.Contains(line, []byte("status="+status)) {
			return
		}
	}
	t.Errorf("docs/logs.md does not show status=%s of postroad/%s", status, program)
}

func jsonKind(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case float64:
		return "number"
	case bool:
		return "true or false"
	case []any:
		return "list of texts"
	}
	return "object"
}
