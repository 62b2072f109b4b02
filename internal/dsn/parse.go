package dsn

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime/quotedprintable"
	"strings"

	"github.com/postroad/postroad/internal/message"
)

// Bounds of what Parse looks at. A report is small; what lies beyond is the returned message.
const (
	maxReport     = 256 << 10
	maxParts      = 100 // with those within the returned message
	maxRecipients = 1000
	maxFieldValue = 2000
)

// Status is a report that came from elsewhere (an out-of-band bounce), as far as it could be
// understood. Its strings are well-formed UTF-8 without control characters.
type Status struct {
	ReportingMTA string
	EnvelopeID   string
	Recipients   []RecipientStatus
	// of the returned message or header, with its angle brackets; "" when none was returned
	OriginalMessageID string
}

// RecipientStatus is the fields of one recipient (RFC 3464 2.3), addresses without their type.
type RecipientStatus struct {
	Original, Final string
	Action          Action
	Code            string // the Status field, RFC 3463
	RemoteMTA       string
	Diagnostic      string
}

// ErrNotReport says that a message is no delivery report.
var ErrNotReport = errors.New("not a multipart/report with a delivery status")

// Parse reads a message and returns the delivery status it carries. It reads at most 256 KiB of r,
// and gives ErrNotReport for anything else than a report with at least one recipient whose Action
// is one of RFC 3464's.
func Parse(r io.Reader) (*Status, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxReport))
	if err != nil {
		return nil, err
	}
	b := message.NewBuilder(message.Limits{Parts: maxParts})
	b.Write(content)
	tree := b.Close()
	if tree.Parts[0].Type != "multipart/report" {
		return nil, ErrNotReport
	}
	s := new(Status)
	for _, i := range tree.Children(0) {
		part := &tree.Parts[i]
		s.part(part, content[part.Body:part.End])
	}
	if len(s.Recipients) == 0 {
		return nil, ErrNotReport
	}
	return s, nil
}

func (s *Status) part(part *message.Part, body []byte) {
	switch part.Type {
	case "message/delivery-status", "message/global-delivery-status":
		if s.Recipients == nil {
			s.fields(decode(body, part.Encoding))
		}
	case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers":
		if s.OriginalMessageID == "" {
			s.OriginalMessageID = textOf(decode(body, part.Encoding), "Message-ID")
		}
	}
}

// textOf returns the value of the first field of that name, "" when there is none.
func textOf(header []byte, name string) string { return message.Text(header, name, maxFieldValue) }

// fields reads the per-message group and the per-recipient groups, which are parted by empty lines.
func (s *Status) fields(body []byte) {
	for len(body) > 0 && len(s.Recipients) < maxRecipients {
		body = bytes.TrimLeft(body, "\r\n")
		var group []byte
		group, body = message.Split(body)
		if mta := textOf(group, "Reporting-MTA"); mta != "" {
			s.ReportingMTA = untyped(mta)
			s.EnvelopeID = textOf(group, "Original-Envelope-Id")
		}
		final, action := untyped(textOf(group, "Final-Recipient")),
			parseAction(textOf(group, "Action"))
		if final == "" || action == 0 {
			continue
		}
		s.Recipients = append(s.Recipients, RecipientStatus{
			Original: untyped(textOf(group, "Original-Recipient")), Final: final, Action: action,
			Code:       statusCode(textOf(group, "Status")),
			RemoteMTA:  untyped(textOf(group, "Remote-MTA")),
			Diagnostic: untyped(textOf(group, "Diagnostic-Code")),
		})
	}
}

func parseAction(word string) Action {
	for a := Failed; a <= Expanded; a++ {
		if strings.EqualFold(word, a.String()) {
			return a
		}
	}
	return 0
}

// statusCode returns the code without a comment, as some systems write "5.1.1 (bad mailbox)".
func statusCode(s string) string {
	s, _, _ = strings.Cut(s, " ")
	if len(s) < 5 || len(s) > 9 || s[0] != '2' && s[0] != '4' && s[0] != '5' || s[1] != '.' ||
		strings.Trim(s, "0123456789.") != "" {
		return ""
	}
	return s
}

// untyped drops "rfc822;", "dns;" and the like.
func untyped(s string) string {
	if _, value, ok := strings.Cut(s, ";"); ok {
		s = value
	}
	s = strings.TrimSpace(s)
	if len(s) > 2 && s[0] == '<' && s[len(s)-1] == '>' {
		s = s[1 : len(s)-1]
	}
	return s
}

// decode undoes a transfer encoding. RFC 3464 allows none, RFC 6533 does, and real systems use
// them; what is broken is read as far as it goes.
func decode(body []byte, encoding message.Encoding) []byte {
	switch encoding {
	case message.Base64:
		body, _ = io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body)))
	case message.QuotedPrintable:
		body, _ = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(body)))
	}
	return body
}
