package maillog

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/postroad/postroad/internal/mail"
)

var testID = mail.NewIDs(7, time.Time{}).Next(time.UnixMilli(1_700_000_000_000))

// delivered is a record with everything set.
func delivered() *Record {
	at := time.UnixMilli(1_700_000_001_200)
	return &Record{
		Type: Delivery, At: at, Created: at.Add(-1200 * time.Millisecond), ID: testID,
		Sender: "a@example.org", Recipient: "b@example.net",
		Recipients: 1, Queue: "example.net", Site: "mx.example.net", Size: 4096, Attempts: 2,
		Code: 250, Enhanced: "2.0.0",
		Text: "2.0.0 Ok: queued as 4F2", Command: "end of data", Relay: "mx.example.net",
		Peer:   netip.MustParseAddrPort("192.0.2.25:25"),
		Source: netip.MustParseAddr("198.51.100.1"), TLS: "TLSv1.3 TLS_AES_128_GCM_SHA256",
		Delays: [4]time.Duration{100 * time.Millisecond, 0, 900 * time.Millisecond,
			200 * time.Millisecond},
		Tenant: "t1", Campaign: "spring", Session: "s1",
		TraceID: "0af7651916cd43dd8448eb211c80319c",
	}
}

func TestLines(t *testing.T) {
	id := testID.String()
	for _, c := range []struct {
		name   string
		change func(*Record)
		want   string
	}{
		{"sent", func(r *Record) {},
			id + ": to=<b@example.net>, relay=mx.example.net[192.0.2.25]:25, delay=1.2, " +
				"delays=0.1/0/0.9/0.2, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4F2)"},
		{"enhanced code apart from the text", func(r *Record) { r.Text = "Ok" },
			id + ": to=<b@example.net>, relay=mx.example.net[192.0.2.25]:25, delay=1.2, " +
				"delays=0.1/0/0.9/0.2, dsn=2.0.0, status=sent (250 2.0.0 Ok)"},
		{"bounced", func(r *Record) {
			r.Type, r.Code, r.Enhanced, r.Text, r.Command = Bounce, 550, "5.1.1",
				"5.1.1 No such user", "RCPT"
		}, id + ": to=<b@example.net>, relay=mx.example.net[192.0.2.25]:25, delay=1.2, " +
			"delays=0.1/0/0.9/0.2, dsn=5.1.1, status=bounced " +
			"(host mx.example.net[192.0.2.25] said: 550 5.1.1 No such user (in reply to RCPT TO " +
			"command))"},
		{"a code that the peer did not give", func(r *Record) {
			r.Type, r.Code, r.Enhanced, r.Text, r.Command = Bounce, 550, "5.0.0", "No such user", ""
		}, id + ": to=<b@example.net>, relay=mx.example.net[192.0.2.25]:25, delay=1.2, " +
			"delays=0.1/0/0.9/0.2, dsn=5.0.0, status=bounced " +
			"(host mx.example.net[192.0.2.25] said: 550 No such user)"},
		{"a peer that said nothing", func(r *Record) {
			r.Type, r.Code, r.Enhanced, r.Text = TransientFailure, 0, "4.4.2", "Timed out at DATA"
		}, id + ": to=<b@example.net>, relay=mx.example.net[192.0.2.25]:25, delay=1.2, " +
			"delays=0.1/0/0.9/0.2, dsn=4.4.2, status=deferred (Timed out at DATA)"},
		{"deferred without a connection", func(r *Record) {
			r.Type, r.Code, r.Enhanced, r.Text, r.Command, r.Peer, r.Relay = TransientFailure, 0,
				"4.4.1", "connect to mx[192.0.2.25]:25: connection refused", "", netip.AddrPort{},
				""
		}, id + ": to=<b@example.net>, relay=none, delay=1.2, delays=0.1/0/0.9/0.2, dsn=4.4.1, " +
			"status=deferred (connect to mx[192.0.2.25]:25: connection refused)"},
		{"expired", func(r *Record) {
			r.Type, r.At, r.PossibleDuplicate, r.Peer = Expiration, r.Created.Add(5*24*time.Hour),
				true, netip.AddrPort{}
			r.Code, r.Enhanced, r.Text = 0, "4.4.7", "too old"
		}, id + ": to=<b@example.net>, relay=mx.example.net, delay=432000, " +
			"delays=0.1/0/0.9/0.2, possible_duplicate=yes, dsn=4.4.7, status=expired (too old)"},
		{"reception", func(r *Record) { r.Type, r.User = Reception, "a@example.org" },
			id + ": client=unknown[192.0.2.25], sasl_username=a@example.org"},
		{"made of another", func(r *Record) {
			r.Type, r.OrigID, r.OrigRecipient = Reception, testID,
				"team@example.org"
		},
			id + ": client=unknown[192.0.2.25], orig_queue_id=" + id +
				", orig_to=<team@example.org>"},
		{"report", func(r *Record) {
			r.Type, r.OrigID, r.Report = Reception, mail.ID{1}, "non-delivery notification"
		}, mail.ID{1}.String() + ": sender non-delivery notification: " + id},
		{"to an alias", func(r *Record) { r.OrigRecipient = "sales@example.net" },
			id + ": to=<b@example.net>, orig_to=<sales@example.net>, " +
				"relay=mx.example.net[192.0.2.25]:25, " +
				"delay=1.2, delays=0.1/0/0.9/0.2, dsn=2.0.0, " +
				"status=sent (250 2.0.0 Ok: queued as 4F2)"},
		{"rejection", func(r *Record) {
			r.Type, r.ID, r.Code, r.Enhanced, r.Text, r.Command, r.Relay = Rejection, mail.ID{},
				550, "5.7.1", "relaying denied", "RCPT", "me.example"
			r.Size, r.Protocol = 0, "ESMTP"
		}, "NOQUEUE: reject: RCPT from unknown[192.0.2.25]: 550 5.7.1 <b@example.net>: " +
			"Recipient address rejected: relaying denied; from=<a@example.org> " +
			"to=<b@example.net> proto=ESMTP helo=<me.example>"},
		{"content rejected", func(r *Record) {
			r.Type, r.ID, r.Code, r.Enhanced, r.Text, r.Command, r.Relay = Rejection, mail.ID{},
				552, "5.3.4", "too big", "DATA", "me.example"
			r.Protocol, r.User, r.Recipients, r.MessageID = "ESMTPSA", "a", 2, "<m@example.org>"
			r.Refused = []string{"b@example.net", "c@example.net"}
		}, "NOQUEUE: reject: DATA from unknown[192.0.2.25]: 552 5.3.4 <DATA>: " +
			"End-of-data rejected: too big; " +
			"from=<a@example.org> to=<b@example.net> proto=ESMTPSA helo=<me.example> " +
			"sasl_username=<a> size=4096 nrcpt=2 message-id=<m@example.org>"},
		{"nobody ends a line", func(r *Record) {
			r.Recipient, r.Text = "x\r\n"+id+": removed\x1b[2J@example.net", "ok\n\xff\u0085\u2028é"
		},
			id + ": to=<x??" + id +
				": removed?[2J@example.net>, relay=mx.example.net[192.0.2.25]:25, delay=1.2, " +
				"delays=0.1/0/0.9/0.2, dsn=2.0.0, status=sent (250 2.0.0 ok????é)"},
		{"nobody turns a line around", func(r *Record) {
			r.Recipient = "\u202emoc.x\u2066@example.net"
			r.Text = "\u200bok\ufeff\U000e0041ü日\u3164"
		},
			id + ": to=<?moc.x?@example.net>, relay=mx.example.net[192.0.2.25]:25, delay=1.2, " +
				"delays=0.1/0/0.9/0.2, dsn=2.0.0, status=sent (250 2.0.0 ?ok??ü日\u3164)"},
		{"wrong password", func(r *Record) {
			r.Type, r.ID, r.Code, r.Enhanced, r.Text, r.Mechanism, r.User = Rejection, mail.ID{},
				535, "5.7.8", "Authentication credentials invalid", "PLAIN", "a"
		}, "warning: unknown[192.0.2.25]: SASL PLAIN authentication failed: " +
			"Authentication credentials invalid, sasl_username=a"},
	} {
		r := delivered()
		c.change(r)
		if got := string(appendRecord(nil, r)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", 4 * time.Millisecond: "0", 5 * time.Millisecond: "0.01",
		50 * time.Millisecond: "0.05", 100 * time.Millisecond: "0.1",
		110 * time.Millisecond: "0.11", 990 * time.Millisecond: "0.99", 996 * time.Millisecond: "1",
		1230 * time.Millisecond: "1.2", 9960 * time.Millisecond: "10",
		9999 * time.Millisecond: "10", 12600 * time.Millisecond: "13", 340 * time.Second: "340",
	} {
		if got := string(appendSeconds(nil, d)); got != want {
			t.Errorf("%v = %s, want %s", d, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, at := range []time.Time{time.UnixMilli(1_700_000_001_007),
		time.Date(2026, 2, 3, 4, 5, 6, 999_999_999, time.FixedZone("", 3600))} {
		if got, want := string(appendUTC(nil, at)),
			at.UTC().Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := string(appendSyslogTime(nil, at)),
			at.Format("Jan _2 15:04:05 "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestEvent(t *testing.T) {
	const want = `{"type":"Delivery","id":"ID","sender":"a@example.org","recipient":"b@example.net","queue":"example.net","site":"mx.example.net","size":4096,` +
		`"response":{"code":250,"enhanced_code":{"class":2,"subject":0,"detail":0},"content":"2.0.0 Ok: queued as 4F2","command":"end of data"},` +
		`"peer_address":{"name":"mx.example.net","addr":"192.0.2.25"},"source_address":{"address":"198.51.100.1"},` +
		`"timestamp":1700000001,"event_time":"2023-11-14T22:13:21.200Z","created":1700000000,"created_time":"2023-11-14T22:13:20.000Z","num_attempts":2,` +
		`"tls_cipher":"TLS_AES_128_GCM_SHA256","tls_protocol_version":"TLSv1.3","tenant":"t1","campaign":"spring","nodeid":"mx1","session_id":"s1",` +
		`"trace_id":"0af7651916cd43dd8448eb211c80319c"}` + "\n"
	if got := string(appendEvent(nil, delivered(), "mx1")); got != strings.Replace(want, "ID",
		testID.String(), 1) {
		t.Errorf("got  %swant %s", got, want)
	}
	r := delivered()
	r.OrigID, r.OrigRecipient = testID, "sales@example.net"
	if got := string(appendEvent(nil, r, "mx1")); !strings.Contains(got,
		`,"orig_id":"`+testID.String()+
			`","sender":"a@example.org","recipient":"b@example.net","orig_recipient":"sales@example.net",`) {
		t.Errorf("got  %s", got)
	}
}

// FuzzRecord gives hostile text to both formats: a line stays a line and an event stays JSON, both
// of bounded length.
func FuzzRecord(f *testing.F) {
	f.Add("a@b", `"quoted \" local"@x`, "250 ok", "2.0.0", uint8(Delivery))
	f.Add("\u202egnp.exe", "\u200b@x", "\U000e0041\u00ad\u2069", "5.1", uint8(Bounce))
	f.Add("\xff\xfe", "x\ny", "\u2028\\", "5.1", uint8(Rejection))
	f.Add(strings.Repeat("é", 1000), strings.Repeat(`\"`, 2000), strings.Repeat("\x00", 5000),
		"999999.1.1", uint8(200))
	f.Fuzz(func(t *testing.T, sender, recipient, text, enhanced string, kind uint8) {
		r := delivered()
		r.Sender, r.Recipient, r.OrigRecipient, r.Text, r.Enhanced, r.Relay, r.Type = sender,
			recipient, sender, text, enhanced, text, Type(kind)
		r.User, r.Protocol, r.Mechanism, r.MessageID = text, "ESMTP", text, recipient
		line := (&form{json: true}).record(nil, r)
		var got struct{ Msg string }
		if err := json.Unmarshal(line, &got); err != nil ||
			got.Msg != string(appendRecord(nil, r)) {
			t.Fatalf("%v: %s", err, line)
		}
		if strings.ContainsAny(got.Msg, "\r\n\x1b\u202e\u200b") || !utf8.ValidString(got.Msg) {
			t.Fatalf("%q", got.Msg)
		}
		event := appendEvent(nil, r, "mx1")
		var m map[string]any
		if err := json.Unmarshal(event, &m); err != nil || m["sender"] == nil {
			t.Fatalf("%v: %s", err, event)
		}
		if len(line) > 12<<10 || len(event) > 12<<10 {
			t.Fatalf("line of %d, event of %d octets", len(line), len(event))
		}
	})
}
