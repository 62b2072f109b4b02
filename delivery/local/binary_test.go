package local

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// TestBinary: what BINARYMIME brings is in lines in the mailbox, and decodes to what it was. Its
// size is that of what is stored.
func TestBinary(t *testing.T) {
	const head = "Subject: gr\u00fcn\r\nContent-Type: multipart/mixed; boundary=b\r\n" +
		"Content-Transfer-Encoding: %\r\n\r\n--b\r\n\r\ngr\u00fcn\r\n--b\r\n" +
		"Content-Type: application/x-data\r\n"
	in := strings.Replace(head, "%", "binary", 1) +
		"Content-Transfer-Encoding: binary\r\n\r\n\x00\r\x01\n\xff\r\n--b--"
	want := "for a@h: " + strings.Replace(head, "%", "8bit\r\nMIME-Version: 1.0", 1) +
		"Content-Transfer-Encoding: base64\r\n\r\nAA0BCv8=\r\n--b--\r\n"
	play(t, "a@h", "", func(w *world) {
		deliver := func(number byte, content string, open func() (io.ReadCloser, error)) string {
			got := make(chan []*smtp.Failure, 2)
			m := numbered(number, "a@h")
			m.Message.Envelope.Body, m.Message.Size = mail.BodyBinaryMIME, int64(len(content))
			if m.Content = []byte(content); open != nil {
				m.Content, m.Open = nil, open
			}
			w.store.Deliver(m, func(f []*smtp.Failure) { got <- f })
			failures := <-got
			if synctest.Wait(); len(got) > 0 {
				t.Error("a message was answered twice")
			}
			return codes(failures)
		}
		reader := func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(in)), nil
		}
		broken := func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		if a, b := deliver(1, in, nil), deliver(2, in, reader); a != "ok" || b != "ok" {
			t.Errorf("%s, %s", a, b)
		}
		if got := deliver(3, in, broken); got != "4.3.0" {
			t.Errorf("unreadable: %s", got)
		}
		const odd = "no\x00header"
		if got := deliver(4, odd, nil); got != "ok" {
			t.Errorf("not convertible: %s", got)
		}
		if got := w.got["a@h"]; len(got) != 3 || got[0] != want || got[1] != want ||
			got[2] != "for a@h: "+odd {
			t.Errorf("stored %q, want %q", got, want)
		}
	})
}
