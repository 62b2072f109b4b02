package maillog

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/postroad/postroad/internal/mail"
)

// TestMembers: a line in JSON says in members what its words say.
func TestMembers(t *testing.T) {
	id := testID.String()
	var out bytes.Buffer
	l := open(t, Options{Lines: &out, JSON: true})
	r := delivered()
	r.Type, r.User, r.Protocol, r.Relay, r.MessageID = Reception, "a", "ESMTPSA", "me.example",
		`<"m"@x>`
	l.Log(r)
	l.Queued(testID, "", 4096, 2)
	r = delivered()
	r.Type, r.Code, r.Enhanced, r.Text = TransientFailure, 451, "4.7.1", `"msg":"Try later`
	l.Log(r)
	r = delivered()
	r.Type, r.ID, r.Command, r.Relay, r.Code, r.Enhanced, r.Text = Rejection, mail.ID{}, "RCPT",
		"me.example", 550, "5.1.1", "no"
	l.Log(r)
	l.Removed(testID)
	l.Errorf("disk full")
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(&out)
	for i, want := range []map[string]any{
		{"program": "postroad/smtpd", "queue_id": id, "client": "unknown[192.0.2.25]",
			"helo": "me.example", "proto": "ESMTPSA", "sasl_username": "a", "from": "a@example.org",
			"to": "b@example.net", "size": 4096., "nrcpt": 1., "message_id": `<"m"@x>`},
		{"program": "postroad/cleanup", "queue_id": id, "message_id": `<"m"@x>`},
		{"program": "postroad/qmgr", "queue_id": id, "from": "", "size": 4096., "nrcpt": 2.,
			"status": "queued"},
		{"program": "postroad/smtp", "queue_id": id, "from": "a@example.org",
			"to": "b@example.net", "relay": "mx.example.net[192.0.2.25]:25", "delay": 1.2,
			"dsn": "4.7.1", "status": "deferred", "code": 451., "reply": `"msg":"Try later`,
			"size": 4096., "delays": []any{0.1, 0., 0.9, 0.2}},
		{"program": "postroad/smtpd", "client": "unknown[192.0.2.25]", "helo": "me.example",
			"from": "a@example.org", "to": "b@example.net", "size": 4096., "nrcpt": 1.,
			"code": 550., "dsn": "5.1.1", "command": "RCPT", "status": "rejected"},
		{"program": "postroad/qmgr", "queue_id": id, "status": "removed"},
		{"program": "postroad"},
	} {
		var got map[string]any
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"time", "level", "msg"} {
			if got[name] == nil {
				t.Errorf("line %d has no %s", i, name)
			}
			delete(got, name)
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if !bytes.Equal(a, b) {
			t.Errorf("line %d:\n got %s\nwant %s", i, a, b)
		}
	}
}
