package dsn

import (
	"bufio"
	"crypto/rand"
	"io"
	"time"

	"github.com/postroad/postroad/internal/mail"
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
	var back returned
	if original != nil {
		var err error
		if back, err = r.returned(bufio.NewReader(original)); err != nil {
			return Needs{}, err
		}
	}
	needs := Needs{SMTPUTF8: r.global()}
	if needs.SMTPUTF8 { // whoever offers SMTPUTF8 offers 8BITMIME too (RFC 6531 3.1)
		needs.Body = mail.Body8BitMIME
	}
	out := &writer{w: bufio.NewWriter(w), boundary: "=_" + rand.Text(), utf8: needs.SMTPUTF8}
	out.header(r)
	out.explanation(r)
	out.status(r)
	if original != nil {
		out.original(&back)
	}
	out.raw("\r\n--" + out.boundary + "--\r\n")
	if err := out.w.Flush(); out.err == nil {
		out.err = err
	}
	return needs, out.err
}

// writer writes the parts; after the first error it does nothing more.
type writer struct {
	w        *bufio.Writer
	boundary string
	utf8     bool // RFC 6533 types, and UTF-8 wherever it may stand
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

// part begins a body part, in the encoding that it is given or in the report's own.
func (o *writer) part(contentType, description, encoding string) {
	o.raw("\r\n--" + o.boundary + "\r\nContent-Description: " + description + "\r\nContent-Type: " +
		contentType + "\r\n")
	if encoding == "" && o.utf8 {
		encoding = "8bit"
	}
	if encoding != "" {
		o.raw("Content-Transfer-Encoding: " + encoding + "\r\n")
	}
	o.raw("\r\n")
}

// MessageID is the Message-ID field of the report of an ID by a host.
func MessageID(id mail.ID, host string) string { return "<" + id.String() + "@" + host + ">" }

func (o *writer) header(r *Report) {
	o.field("From", "Mail Delivery System <MAILER-DAEMON@"+r.Host+">")
	o.field("To", "<"+r.To+">")
	o.field("Subject", subject(r))
	o.field("Date", date(r.Date))
	o.field("Message-ID", MessageID(r.ID, r.Host))
	o.field("Auto-Submitted", "auto-replied") // RFC 3834 5
	o.field("MIME-Version", "1.0")
	o.raw("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"" +
		o.boundary + "\"\r\n")
	if o.utf8 {
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
	o.part(kind, "Delivery report", "")
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
	a, said := &rcpt.Attempt, rcpt.said()
	o.raw("\r\n")
	if rcpt.ORcpt != "" {
		o.field("Original-Recipient", o.typed(rcpt.ORcpt))
	}
	o.field("Final-Recipient", o.typed(smtp.Typed(rcpt.Address)))
	o.field("Action", rcpt.Action.String())
	o.field("Status", rcpt.status())
	if said != "" && a.Remote != "" { // who reported to us, and nobody else (RFC 3464 2.3.5)
		o.field("Remote-MTA", "dns; "+a.Remote)
	}
	if said != "" {
		o.field("Diagnostic-Code", "smtp; "+said)
	} else if found := rcpt.found(); found != "" {
		o.field("Diagnostic-Code", "x-postroad; "+found)
	}
	if !a.At.IsZero() {
		o.field("Last-Attempt-Date", date(a.At))
	}
	if rcpt.Action == Delayed && !rcpt.RetryUntil.IsZero() {
		o.field("Will-Retry-Until", date(rcpt.RetryUntil))
	}
}

// date is RFC 5322 3.3's date-time.
func date(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04:05 -0700") }
