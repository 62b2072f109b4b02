package dsn

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/message"
	"github.com/postroad/postroad/internal/smtp"
)

// Bounds of what of the original is returned. Without RET a small message is returned whole, as
// people expect; a larger one by its header. RFC 3461 4.3 leaves the choice to us, also not to
// honour FULL for what would burden the sender.
const (
	maxFullUnasked = 50 << 10
	maxFullAsked   = 1 << 20
	maxHeader      = 64 << 10
)

// Write writes the report as a message with CRLF lines. original gives the content of the original
// message and is read as far as it is returned; nil when it is gone.
func Write(w io.Writer, r *Report, original io.Reader) (Needs, error) {
	var source *bufio.Reader
	var header []byte
	full := false
	if original != nil {
		source = bufio.NewReader(original)
		var whole bool
		var err error
		if header, whole, err = message.ReadHeader(source, maxHeader); err != nil {
			return Needs{}, fmt.Errorf("reading the header of message %v for its report: %w",
				r.OriginalID, err)
		}
		full = whole && r.returnsFull()
	}
	needs := r.needs(header, full)
	out := &writer{w: bufio.NewWriter(w), boundary: "=_" + rand.Text(), utf8: needs.SMTPUTF8,
		eightBit: needs.Body == mail.Body8BitMIME}
	out.header(r)
	out.explanation(r)
	out.status(r)
	if source != nil {
		out.original(r, header, full, source)
	}
	out.raw("\r\n--" + out.boundary + "--\r\n")
	if err := out.w.Flush(); out.err == nil {
		out.err = err
	}
	return needs, out.err
}

// returnsFull: RET counts only where a failure is reported; a delay or success report carries the
// header (RFC 3461 4.3).
func (r *Report) returnsFull() bool {
	// binary cannot be nested in a message of lines
	if !r.has(Failed) || r.Body == mail.BodyBinaryMIME {
		return false
	}
	switch r.Ret {
	case mail.RetFull:
		return r.Size <= maxFullAsked
	case mail.RetHeaders:
		return false
	}
	return r.Size <= maxFullUnasked
}

func (r *Report) needs(header []byte, full bool) Needs {
	n := Needs{SMTPUTF8: r.global()}
	if n.SMTPUTF8 || r.SMTPUTF8 && full || !smtp.IsASCII(header) || full &&
		r.Body == mail.Body8BitMIME {
		n.Body = mail.Body8BitMIME
	}
	return n
}

// writer writes the parts; after the first error it does nothing more.
type writer struct {
	w        *bufio.Writer
	boundary string
	utf8     bool // RFC 6533 types
	eightBit bool
	err      error
}

func (o *writer) raw(s string) {
	if o.err == nil {
		_, o.err = o.w.WriteString(s)
	}
}

// line writes one line of prose.
func (o *writer) line(s string) { o.raw(o.safe(s) + "\r\n") }

// field writes a header or status field whose value may hold a peer's words: made safe, and folded.
func (o *writer) field(name, value string) { o.raw(fold(name + ": " + o.safe(value))) }

// part begins a body part.
func (o *writer) part(contentType, description string) {
	o.raw("\r\n--" + o.boundary + "\r\nContent-Description: " + description + "\r\nContent-Type: " +
		contentType + "\r\n")
	if o.eightBit {
		o.raw("Content-Transfer-Encoding: 8bit\r\n")
	}
	o.raw("\r\n")
}

func (o *writer) header(r *Report) {
	o.field("From", "Mail Delivery System <MAILER-DAEMON@"+r.Host+">")
	o.field("To", "<"+r.To+">")
	o.field("Subject", subject(r))
	o.field("Date", date(r.Date))
	o.field("Message-ID", "<"+r.ID.String()+"@"+r.Host+">")
	o.field("Auto-Submitted", "auto-replied") // RFC 3834 5
	o.field("MIME-Version", "1.0")
	o.raw("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"" +
		o.boundary + "\"\r\n")
	if o.eightBit {
		o.raw("Content-Transfer-Encoding: 8bit\r\n")
	}
	o.raw("\r\nThis is a MIME-encapsulated message.\r\n")
}

// status writes the machine's part (RFC 3464 2.1).
func (o *writer) status(r *Report) {
	kind := "message/delivery-status"
	if o.utf8 {
		kind = "message/global-delivery-status" // RFC 6533 3
	}
	o.part(kind, "Delivery report")
	if r.EnvelopeID != "" {
		o.field("Original-Envelope-Id", r.EnvelopeID)
	}
	o.field("Reporting-MTA", "dns; "+r.Host)
	if !r.OriginalID.IsZero() {
		o.field("X-Postroad-Queue-Id", r.OriginalID.String())
	}
	if !r.Arrived.IsZero() {
		o.field("Arrival-Date", date(r.Arrived))
	}
	for i := range r.Recipients {
		o.recipient(&r.Recipients[i])
	}
}

// recipient writes the per-recipient fields (RFC 3464 2.3).
func (o *writer) recipient(rcpt *Recipient) {
	a := &rcpt.Attempt
	o.raw("\r\n")
	if rcpt.ORcpt != "" {
		o.field("Original-Recipient", o.typed(rcpt.ORcpt))
	}
	o.field("Final-Recipient", o.typed(smtp.Typed(rcpt.Address)))
	o.field("Action", rcpt.Action.String())
	o.field("Status", a.Enhanced)
	if a.Remote != "" {
		o.field("Remote-MTA", "dns; "+a.Remote)
	}
	if a.Code != 0 {
		o.field("Diagnostic-Code", fmt.Sprintf("smtp; %d %s %s", a.Code, a.Enhanced, a.Text))
	} else if a.Text != "" {
		o.field("Diagnostic-Code", "x-postroad; "+a.Text)
	}
	if !a.At.IsZero() {
		o.field("Last-Attempt-Date", date(a.At))
	}
	if rcpt.Action == Delayed && !rcpt.RetryUntil.IsZero() {
		o.field("Will-Retry-Until", date(rcpt.RetryUntil))
	}
}

// original returns the message, or its header.
func (o *writer) original(r *Report, header []byte, full bool, rest io.Reader) {
	global := r.SMTPUTF8 && !smtp.IsASCII(header)
	switch {
	case full && global:
		o.part("message/global", "Undelivered message") // RFC 6532 3.7
	case full:
		o.part("message/rfc822", "Undelivered message")
	case global: // RFC 6533 4
		o.part("message/global-headers", "Message header")
	default:
		o.part("text/rfc822-headers", "Message header")
	}
	if o.err != nil {
		return
	}
	if _, o.err = o.w.Write(header); o.err != nil || !full {
		return
	}
	o.raw("\r\n")
	if _, err := io.Copy(o.w, rest); err != nil && o.err == nil {
		o.err = fmt.Errorf("returning message %v: %w", r.OriginalID, err)
	}
}

// date is RFC 5322 3.3's date-time.
func date(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04:05 -0700") }
