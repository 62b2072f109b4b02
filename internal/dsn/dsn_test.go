package dsn

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
	"time"

	pmail "github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

func TestCalls(t *testing.T) {
	const s, f, d, n = pmail.NotifySuccess, pmail.NotifyFailure, pmail.NotifyDelay,
		pmail.NotifyNever
	tests := []struct {
		notify pmail.Notify
		want   string // the first letters of the actions that call for a report, relayed as r
	}{
		{0, "failed delayed"}, {n, ""}, {s, "delivered relayed expanded"}, {f, "failed"},
		{d, "delayed"},
		{s | f | d, "failed delayed delivered relayed expanded"}, {f | d, "failed delayed"},
	}
	for _, tt := range tests {
		for a := Failed; a <= Expanded; a++ {
			want := strings.Contains(tt.want, a.String())
			if got := Calls("s@example.com", tt.notify, a); got != want {
				t.Errorf("NOTIFY=%d, %v: %v, want %v", tt.notify, a, got, want)
			}
			if Calls("", tt.notify, a) {
				t.Errorf("NOTIFY=%d, %v: a report to the null reverse-path", tt.notify, a)
			}
		}
	}
}

var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func failed() *Report {
	return &Report{
		Host: "mx1.example.net", ID: pmail.NewIDs(1, time.Time{}).Next(at), Date: at,
		To:         "sender@example.com",
		OriginalID: pmail.NewIDs(2, time.Time{}).Next(at), EnvelopeID: "QQ+314=159",
		Arrived: at.Add(-time.Hour), Size: 100,
		Recipients: []Recipient{{
			Address: "bob@example.org", ORcpt: "rfc822;Bob+1@example.org", Action: Failed,
			Attempt: pmail.Attempt{At: at, Remote: "mx.example.org", Code: 550, Enhanced: "5.1.1",
				Text: "No such user here"},
		}},
	}
}

const original = "From: sender@example.com\r\nMessage-ID: <one@example.com>\r\nSubject: " +
	"hello\r\n\r\nThe body.\r\n.\r\n"

// written writes r, checks it as every report must be, and returns its text and its parts by media
// type.
func written(
	t *testing.T, r *Report, content io.Reader,
) (text string, parts map[string]string, needs Needs) {
	t.Helper()
	var b bytes.Buffer
	needs, err := Write(&b, r, content)
	if err != nil {
		t.Fatal(err)
	}
	text = b.String()
	if strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") ||
		strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") {
		t.Fatalf("a CR or LF alone in\n%q", text)
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) > 998 {
			t.Fatalf("a line of %d octets", len(line))
		}
	}
	if needs.Body == pmail.Body7Bit && !smtp.IsASCII(text) {
		t.Fatalf("octets beyond ASCII in a report said to be 7 bit:\n%s", text)
	}
	m, err := mail.ReadMessage(&b)
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("Content-Type %q, %v", m.Header.Get("Content-Type"), err)
	}
	if m.Header.Get("Auto-Submitted") != "auto-replied" ||
		m.Header.Get("From") != "Mail Delivery System <MAILER-DAEMON@"+r.Host+">" ||
		m.Header.Get("Message-ID") == "" || m.Header.Get("To") != "<"+r.To+">" {
		t.Fatalf("header %v", m.Header)
	}
	parts = map[string]string{}
	for mr := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := mr.NextRawPart()
		if err == io.EOF {
			return text, parts, needs
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		body, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		parts[kind] = string(body)
	}
}

func TestWriteFailure(t *testing.T) {
	r := failed()
	text, parts, needs := written(t, r, strings.NewReader(original))
	if needs != (Needs{}) {
		t.Errorf("needs %+v", needs)
	}
	if got := parts["message/rfc822"]; got != original {
		t.Errorf("returned\n%q, want\n%q", got, original)
	}
	want := "Original-Envelope-Id: QQ+314=159\r\nReporting-MTA: dns; " +
		"mx1.example.net\r\nX-Postroad-Queue-Id: " + r.OriginalID.String() +
		"\r\nArrival-Date: Sun, 1 Mar 2026 11:00:00 +0000\r\n\r\n" +
		"Original-Recipient: rfc822;Bob+1@example.org\r\nFinal-Recipient: " +
		"rfc822;bob@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n" +
		"Remote-MTA: dns; mx.example.org\r\nDiagnostic-Code: smtp; 550 5.1.1 No such user " +
		"here\r\nLast-Attempt-Date: Sun, 1 Mar 2026 12:00:00 +0000\r\n"
	if got := parts["message/delivery-status"]; got != want {
		t.Errorf("status\n%s, want\n%s", got, want)
	}
	for _, s := range []string{"could not be delivered", "<bob@example.org>",
		"mx.example.org said: 550 5.1.1 No such user here", "check the address"} {
		if !strings.Contains(parts["text/plain"], s) {
			t.Errorf("the explanation lacks %q:\n%s", s, parts["text/plain"])
		}
	}
	if !strings.Contains(text, "Subject: Undelivered mail returned to sender\r\n") {
		t.Error("subject")
	}
	s, err := Parse(strings.NewReader(text))
	if err != nil || len(s.Recipients) != 1 ||
		s.Recipients[0] != (RecipientStatus{Original: "Bob+1@example.org", Final: "bob@example.org",
			Action: Failed,
			Code:   "5.1.1", RemoteMTA: "mx.example.org",
			Diagnostic: "550 5.1.1 No such user here"}) ||
		s.EnvelopeID != r.EnvelopeID || s.ReportingMTA != r.Host ||
		s.OriginalMessageID != "<one@example.com>" {
		t.Errorf("parsed back: %+v, %v", s, err)
	}
}

func TestWhatIsReturned(t *testing.T) {
	large := original + strings.Repeat("0123456789\r\n", 10000)
	tests := []struct {
		name    string
		change  func(*Report)
		content string
		full    bool
	}{
		{"RET absent, small", func(r *Report) {}, original, true},
		{"RET absent, large", func(r *Report) {}, large, false},
		{"FULL, large", func(r *Report) { r.Ret = pmail.RetFull }, large, true},
		{"HDRS", func(r *Report) { r.Ret = pmail.RetHeaders }, original, false},
		{"FULL of a delay", func(r *Report) {
			r.Ret, r.Recipients[0].Action = pmail.RetFull, Delayed
		}, original, false},
		{"FULL of binary", func(r *Report) { r.Ret, r.Body = pmail.RetFull, pmail.BodyBinaryMIME },
			original, false},
		{"FULL, header too long", func(r *Report) { r.Ret = pmail.RetFull },
			strings.Repeat("X: y\r\n", 20000) + original, false},
		{"FULL, no body", func(r *Report) { r.Ret = pmail.RetFull }, "Subject: x\r\n\r\n", true},
	}
	for _, tt := range tests {
		r := failed()
		r.Size = int64(len(tt.content))
		tt.change(r)
		_, parts, _ := written(t, r, strings.NewReader(tt.content))
		if got, ok := parts["message/rfc822"]; ok != tt.full || ok && got != tt.content {
			t.Errorf("%s: returned in full: %v, want %v (%d octets of %d)", tt.name, ok, tt.full,
				len(got), len(tt.content))
		}
		header, _, _ := strings.Cut(tt.content, "\r\n\r\n")
		if got, ok := parts["text/rfc822-headers"]; !tt.full &&
			(!ok || got == "" || !strings.HasPrefix(header+"\r\n", got)) {
			t.Errorf("%s: header %q", tt.name, got)
		}
	}
	if _, parts, _ := written(t, failed(), nil); len(parts) != 2 {
		t.Errorf("without the content: %d parts, want 2", len(parts))
	}
}

// An empty line at the edge of the reader's buffer is not the end of the header.
func TestHeaderWithLongLines(t *testing.T) {
	for n := 4080; n < 4110; n++ {
		content := "X: " + strings.Repeat("x", n) + "\r\nSubject: after\r\n\r\nbody\r\n"
		r := failed()
		r.Ret = pmail.RetHeaders
		var b bytes.Buffer
		if _, err := Write(&b, r, strings.NewReader(content)); err != nil ||
			!strings.Contains(b.String(), "\r\nSubject: after\r\n") {
			t.Fatalf("line of %d octets: the header was cut, %v", n, err)
		}
	}
}

func TestWriteDelayAndSuccess(t *testing.T) {
	r := failed()
	r.Recipients[0].Action, r.Recipients[0].RetryUntil = Delayed, at.Add(48*time.Hour)
	r.Recipients[0].Attempt = pmail.Attempt{At: at, Enhanced: "4.4.1", Text: "No answer"}
	text, parts, _ := written(t, r, strings.NewReader(original))
	status := parts["message/delivery-status"]
	if !strings.Contains(status,
		"Action: delayed\r\nStatus: 4.4.1\r\nDiagnostic-Code: x-postroad; No answer\r\n") ||
		!strings.Contains(status, "Will-Retry-Until: Tue, 3 Mar 2026 12:00:00 +0000\r\n") ||
		strings.Contains(status, "Remote-MTA") {
		t.Errorf("status\n%s", status)
	}
	if !strings.Contains(text, "Subject: Delayed mail") ||
		!strings.Contains(parts["text/plain"], "DO NOT") {
		t.Errorf("explanation\n%s", text)
	}
	for action, word := range map[Action]string{Delivered: "delivered", Relayed: "relayed",
		Expanded: "expanded"} {
		r.Recipients[0].Action, r.Recipients[0].Attempt.Enhanced = action, "2.1.5"
		text, parts, _ := written(t, r, strings.NewReader(original))
		if !strings.Contains(parts["message/delivery-status"],
			"Action: "+word+"\r\nStatus: 2.1.5\r\n") ||
			!strings.Contains(text, "Subject: Successful") {
			t.Errorf("%s:\n%s", word, text)
		}
	}
}

func TestWriteGlobal(t *testing.T) {
	r := failed()
	r.SMTPUTF8 = true
	r.Recipients[0].Address, r.Recipients[0].ORcpt = "böb@grün.example", "utf-8;ö+b@grün.example"
	_, parts, needs := written(t, r, strings.NewReader("Subject: grün\r\n\r\nkörper\r\n"))
	if needs != (Needs{Body: pmail.Body8BitMIME, SMTPUTF8: true}) {
		t.Errorf("needs %+v", needs)
	}
	if !strings.Contains(parts["message/global-delivery-status"],
		"Original-Recipient: utf-8;ö+b@grün.example\r\n"+
			"Final-Recipient: utf-8;böb@grün.example\r\n") {
		t.Errorf("parts %q", parts)
	}
	if parts["message/global"] != "Subject: grün\r\n\r\nkörper\r\n" {
		t.Errorf("returned %q", parts["message/global"])
	}
	// With plain addresses the report is 7-bit, the original encoded within it.
	r = failed()
	r.SMTPUTF8 = true
	_, parts, needs = written(t, r, strings.NewReader("Subject: grün\r\n\r\nKörper\r\n"))
	if needs != (Needs{}) ||
		parts["message/global"] != "Subject: gr=C3=BCn\r\n\r\nK=C3=B6rper\r\n" {
		t.Errorf("needs %+v, returned %q", needs, parts["message/global"])
	}
	// The sender did not use SMTPUTF8, and so gets ASCII; a utf-8 ORCPT is written with \x{}.
	r = failed()
	r.Recipients[0].ORcpt = "utf-8;ö+b@grün.example"
	_, parts, needs = written(t, r, strings.NewReader(original))
	if needs != (Needs{}) || !strings.Contains(parts["message/delivery-status"],
		`Original-Recipient: utf-8;\x{F6}\x{2B}b@gr\x{FC}n.example`) {
		t.Errorf("needs %+v, status %s", needs, parts["message/delivery-status"])
	}
}

// TestReportIs7Bit: what the original is does not keep a report from any host.
func TestReportIs7Bit(t *testing.T) {
	long := strings.Repeat("x", 1200)
	for _, c := range []struct{ name, original, kind, want string }{
		{"body", "Subject: x\r\n\r\nein grüner Wald\r\n", "message/rfc822",
			"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
				"Content-Transfer-Encoding: quoted-printable\r\n\r\nein gr=C3=BCner Wald\r\n"},
		{"Subject", "Subject: grün\r\n\r\nx\r\n", "message/rfc822",
			"Subject: =?utf-8?b?Z3LDvG4=?=\r\n\r\nx\r\n"},
		{"signed", "DKIM-Signature: x\r\nSubject: grün\r\n\r\nx\r\n", "message/rfc822",
			"DKIM-Signature: x\r\nSubject: =?utf-8?b?Z3LDvG4=?=\r\n\r\nx\r\n"},
		{"address", "From: ü@x\r\n\r\nx\r\n", "text/rfc822-headers", "From: =C3=BC@x\r\n"},
		{"long line", "A: b\r\n\r\n" + long + "\r\n", "message/rfc822",
			"A: b\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
				"Content-Transfer-Encoding: quoted-printable\r\n\r\n" +
				strings.Repeat(long[:75]+"=\r\n", 15) + long[:75] + "\r\n"},
		{"long field", "A: " + long + "\r\n\r\nx\r\n", "text/rfc822-headers",
			"A: " + long[:72] + "=\r\n" + strings.Repeat(long[:75]+"=\r\n", 15) + long[:3] +
				"\r\n"},
	} {
		r := failed()
		r.Body = pmail.Body8BitMIME
		_, parts, needs := written(t, r, strings.NewReader(c.original))
		if got := parts[c.kind]; needs != (Needs{}) || got != c.want || len(parts) != 3 {
			t.Errorf("%s: needs %+v, returned\n%q, want\n%q", c.name, needs, got, c.want)
		}
	}
}

// The peer's words, the addresses and the ENVID cannot add fields, parts or lines.
func TestNothingIsInjected(t *testing.T) {
	r := failed()
	evil := "x\r\nBcc: victim@example.com\r\n\r\n--=_\x00" + strings.Repeat("long ",
		500) + strings.Repeat("y", 3000) + "\xff"
	r.EnvelopeID, r.Recipients[0].Attempt.Text, r.Recipients[0].Attempt.Remote = evil, evil, evil
	r.Recipients[0].ORcpt = "rfc822;" + evil
	text, parts, _ := written(t, r, strings.NewReader(original))
	if strings.Contains(text, "\r\nBcc:") || len(parts) != 3 {
		t.Errorf("injected:\n%s", text)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestWriteReportsErrors(t *testing.T) {
	if _, err := Write(io.Discard, failed(), failingReader{}); err == nil {
		t.Error("an unreadable original was not noticed")
	}
	if _, err := Write(io.Discard, failed(), io.MultiReader(strings.NewReader(original),
		failingReader{})); err == nil {
		t.Error("an original that breaks off was not noticed")
	}
}

const foreign = "From: MAILER-DAEMON@b.example\nContent-Type: MULTIPART/Report; " +
	"report-type=delivery-status;\n boundary=\"b 1\"\n\n" +
	"preamble\n--b 1\n\nhuman\n--b 1  \nContent-Type: message/delivery-status\n\n" +
	"Reporting-MTA: dns; b.example\n\nFinal-Recipient: RFC822; <a@b.example>\nAction: " +
	"Failed\nStatus: 5.1.1 (bad mailbox)\n" +
	"Diagnostic-Code: smtp; 550\n\tno such\r\n  user\n\nFinal-Recipient: rfc822; " +
	"c@b.example\nAction: exploded\n\n" +
	"Final-Recipient: rfc822; d@b.example\nAction: delayed\nStatus: none\n" +
	"--b 1\nContent-Type: text/rfc822-headers\n\nmessage-id:\n <m@x>\n--b 1--\nepilogue"

func TestParseForeign(t *testing.T) {
	s, err := Parse(strings.NewReader(foreign))
	if err != nil {
		t.Fatal(err)
	}
	want := []RecipientStatus{
		{Final: "a@b.example", Action: Failed, Code: "5.1.1", Diagnostic: "550 no such  user"},
		{Final: "d@b.example", Action: Delayed},
	}
	if len(s.Recipients) != 2 || s.Recipients[0] != want[0] || s.Recipients[1] != want[1] ||
		s.OriginalMessageID != "<m@x>" || s.ReportingMTA != "b.example" {
		t.Errorf("%+v", s)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"", "Subject: x\r\n\r\nbody", "Content-Type: multipart/report\n\n",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--b--",
		strings.Replace(foreign, "delivery-status\n\nRep", "disposition-notification\n\nRep", 1),
		strings.ReplaceAll(foreign, "Action", "Axtion"),
		"Content-Type: multipart/report; boundary=" + strings.Repeat("b", 1<<20) + "\n\n",
	} {
		if s, err := Parse(strings.NewReader(in)); !errors.Is(err, ErrNotReport) {
			t.Errorf("%.60q: %+v, %v; want ErrNotReport", in, s, err)
		}
	}
	if _, err := Parse(failingReader{}); err == nil || errors.Is(err, ErrNotReport) {
		t.Errorf("a read error came back as %v", err)
	}
}

func TestParseIsBounded(t *testing.T) {
	many := "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: " +
		"message/delivery-status\n\nReporting-MTA: dns; x\n\n" +
		strings.Repeat("Final-Recipient: r; a@b\nAction: failed\n\n", 100_000)
	s, err := Parse(io.MultiReader(strings.NewReader(many), failingReader{})) // never read so far
	if err != nil || len(s.Recipients) > maxRecipients {
		t.Errorf("%v, %v", s, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(foreign))
	var b bytes.Buffer
	if _, err := Write(&b, failed(), strings.NewReader(original)); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: " +
		"message/global-delivery-status\nContent-Transfer-Encoding: base64\n\nRmluYWw=\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(bytes.NewReader(data))
		if err != nil {
			return
		}
		if len(s.Recipients) == 0 || len(s.Recipients) > maxRecipients {
			t.Fatalf("%d recipients", len(s.Recipients))
		}
		// A report that was understood can be written and is understood again.
		r := failed()
		r.Recipients[0].Attempt.Text, r.EnvelopeID = s.Recipients[0].Diagnostic, s.EnvelopeID
		var b bytes.Buffer
		if _, err := Write(&b, r, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(&b); err != nil || len(back.Recipients) != 1 ||
			back.Recipients[0].Final != "bob@example.org" {
			t.Fatalf("%+v, %v", back, err)
		}
	})
}

// What a peer said is told with its own codes whatever the status is, and a recipient that is given
// up says after how long.
func TestWhoSaidWhat(t *testing.T) {
	for _, c := range []struct {
		attempt pmail.Attempt
		tried   time.Duration
		status  string
		fields  string
		words   string
	}{
		{pmail.Attempt{Code: 451, Enhanced: "4.7.1", Text: "later", Remote: "mx"},
			100 * time.Second, "4.4.7",
			"Status: 4.4.7\r\nRemote-MTA: dns; mx\r\nDiagnostic-Code: smtp; 451 4.7.1 later\r\n",
			"    It was given up after 100 seconds.\r\n    mx said: 451 4.7.1 later\r\n"},
		{pmail.Attempt{Enhanced: "4.4.1", Text: "no answer", Remote: "mx"}, 5 * 24 * time.Hour,
			"4.4.7", "Status: 4.4.7\r\nDiagnostic-Code: x-postroad; given up after 5 days: " +
				"no answer\r\n", "    given up after 5 days: no answer\r\n"},
		{pmail.Attempt{Code: 550, Enhanced: "5.0.0", Text: "no"}, 0, "",
			"Status: 5.0.0\r\nDiagnostic-Code: smtp; 550 no\r\n",
			"    The recipient's mail system said: 550 no\r\n"},
	} {
		r := failed()
		r.Recipients[0].Attempt, r.Recipients[0].Status = c.attempt, c.status
		r.Recipients[0].Tried = c.tried
		_, parts, _ := written(t, r, nil)
		if got := parts["message/delivery-status"]; !strings.HasSuffix(got,
			"Action: failed\r\n"+c.fields) {
			t.Errorf("%+v: %s", c.attempt, got)
		}
		if got := parts["text/plain"]; !strings.Contains(got, c.words) {
			t.Errorf("%+v: %s", c.attempt, got)
		}
	}
	for d, want := range map[time.Duration]string{
		time.Second: "a second", 119 * time.Second: "119 seconds", 3 * time.Minute: "3 minutes",
		47 * time.Hour: "47 hours", 5*24*time.Hour + 90*time.Second: "5 days",
	} {
		if got := inWords(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
