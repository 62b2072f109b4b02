package smtpclient

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"

	reports "github.com/postroad/postroad/internal/dsn"
	pmail "github.com/postroad/postroad/internal/mail"
)

// TestConvertedContent: what a peer without 8BITMIME gets is 7-bit and decodes to what was sent,
// from memory and from the store, small and large.
func TestConvertedContent(t *testing.T) {
	for _, lines := range []int{1, 20_000} {
		body := strings.Repeat("ein gr\xc3\xbcner Wald, in dem kein Mensch wohnt\r\n", lines)
		in := "Subject: gr\xc3\xbcn\r\n\r\n" + body
		for _, store := range []bool{false, true} {
			o, kept := serve(t, ehlo()+cMail+"S: 250 ok\n"+cOne+
				"S: 250 ok\nC: DATA\nS: 354 go\ndata\nS: 250 ok\n"+cQuit)
			tx := newTx("a@example.org")
			tx.Body, tx.Content = pmail.Body8BitMIME, []byte(in)
			if store {
				fromStore(in)(tx, o)
			}
			conn := dial(t, o)
			if got := verdict(conn.Deliver(tx)); got != "250 2.0.0 end of mail data" {
				t.Fatal(got)
			}
			conn.Quit()
			got := unstuff(t, kept()[0])
			m, err := mail.ReadMessage(bytes.NewReader(got))
			if err != nil || !ascii(got) {
				t.Fatalf("%v in %q", err, got)
			}
			text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			subject, _ := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil || string(text) != body || subject != "gr\u00fcn" ||
				m.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
				t.Fatalf("%v, subject %q, received %.200q", err, subject, got)
			}
		}
	}
}

// TestReportIn7Bit: a report about an 8-bit message with an 8-bit Subject reaches a sender whose
// host has no 8BITMIME. It goes as it was written.
func TestReportIn7Bit(t *testing.T) {
	const original = "From: s@example.net\r\nSubject: gr\xc3\xbcn\r\n\r\nK\xc3\xb6rper\r\n"
	for _, ret := range []pmail.Ret{pmail.RetFull, pmail.RetHeaders} {
		report := &reports.Report{Host: "client.example", To: "a@example.org", Ret: ret,
			Body: pmail.Body8BitMIME, Size: int64(len(original)),
			Recipients: []reports.Recipient{{Address: "x@example.com", Action: reports.Failed,
				Attempt: pmail.Attempt{Code: 550, Enhanced: "5.1.1", Text: "n\u00f6"}}}}
		var b bytes.Buffer
		needs, err := reports.Write(&b, report, strings.NewReader(original))
		if err != nil || needs != (reports.Needs{}) {
			t.Fatalf("needs %+v, %v", needs, err)
		}
		o, kept := serve(t, ehlo()+"C: MAIL FROM:<>\nS: 250 ok\n"+cOne+
			"S: 250 ok\nC: DATA\nS: 354 go\ndata\nS: 250 ok\n"+cQuit)
		tx := newTx("a@example.org")
		tx.Sender, tx.Body, tx.Content = "", needs.Body, b.Bytes()
		conn := dial(t, o)
		if got := verdict(conn.Deliver(tx)); got != "250 2.0.0 end of mail data" {
			t.Fatal(got)
		}
		conn.Quit()
		got := unstuff(t, kept()[0])
		if !ascii(got) || !bytes.Equal(got, b.Bytes()) {
			t.Fatalf("received %q", got)
		}
		m, err := mail.ReadMessage(bytes.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		_, params, _ := mime.ParseMediaType(m.Header.Get("Content-Type"))
		r := multipart.NewReader(m.Body, params["boundary"])
		var last *multipart.Part
		var text []byte
		for range 3 {
			if last, err = r.NextPart(); err != nil {
				t.Fatal(err)
			}
			text, _ = io.ReadAll(last)
		}
		if ret == pmail.RetHeaders {
			if want, _, _ := strings.Cut(original, "\r\n\r\n"); string(text) != want+"\r\n" {
				t.Errorf("header %q", text)
			}
			continue
		}
		inner, err := mail.ReadMessage(bytes.NewReader(text))
		if err != nil || inner.Header.Get("Subject") != "=?utf-8?b?Z3LDvG4=?=" {
			t.Errorf("%v, returned %q", err, text)
		}
	}
}
