package dsn

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"
)

// Bounds of what Parse looks at. A report is small; what lies beyond is the returned message.
const (
	maxReport     = 256 << 10
	maxParts      = 16
	maxRecipients = 1000
	maxFields     = 64
	maxFieldValue = 2000
)

// Status is a report that came from elsewhere (an out-of-band bounce), as far as it could be
// understood. Its strings are well-formed UTF-8 without control characters.
type Status struct {
	ReportingMTA      string
	EnvelopeID        string
	Recipients        []RecipientStatus
	OriginalMessageID string // of the returned message or header, with its angle brackets; "" when none was returned
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
	message, err := io.ReadAll(io.LimitReader(r, maxReport))
	if err != nil {
		return nil, err
	}
	header, body := splitHeader(message)
	kind, params := mediaType(fieldOf(header, "Content-Type"))
	boundary := params["boundary"]
	if kind != "multipart/report" || boundary == "" || len(boundary) > 70 {
		return nil, ErrNotReport
	}
	s := new(Status)
	for _, part := range splitParts(body, boundary) {
		s.part(part)
	}
	if len(s.Recipients) == 0 {
		return nil, ErrNotReport
	}
	return s, nil
}

func (s *Status) part(part []byte) {
	header, body := splitHeader(part)
	kind, _ := mediaType(fieldOf(header, "Content-Type"))
	switch kind {
	case "message/delivery-status", "message/global-delivery-status":
		if s.Recipients == nil {
			s.fields(decode(body, fieldOf(header, "Content-Transfer-Encoding")))
		}
	case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers":
		original, _ := splitHeader(decode(body, fieldOf(header, "Content-Transfer-Encoding")))
		if s.OriginalMessageID == "" {
			s.OriginalMessageID = fieldOf(original, "Message-ID")
		}
	}
}

// fields reads the per-message group and the per-recipient groups, which are parted by empty lines.
func (s *Status) fields(body []byte) {
	for len(body) > 0 && len(s.Recipients) < maxRecipients {
		body = bytes.TrimLeft(body, "\r\n")
		var group []byte
		group, body = splitHeader(body)
		if mta := fieldOf(group, "Reporting-MTA"); mta != "" {
			s.ReportingMTA = untyped(mta)
			s.EnvelopeID = fieldOf(group, "Original-Envelope-Id")
		}
		final, action := untyped(fieldOf(group, "Final-Recipient")), parseAction(fieldOf(group, "Action"))
		if final == "" || action == 0 {
			continue
		}
		s.Recipients = append(s.Recipients, RecipientStatus{
			Original: untyped(fieldOf(group, "Original-Recipient")), Final: final, Action: action,
			Code: statusCode(fieldOf(group, "Status")), RemoteMTA: untyped(fieldOf(group, "Remote-MTA")),
			Diagnostic: untyped(fieldOf(group, "Diagnostic-Code")),
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
	if len(s) < 5 || len(s) > 9 || s[0] != '2' && s[0] != '4' && s[0] != '5' || s[1] != '.' || strings.Trim(s, "0123456789.") != "" {
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

// splitHeader parts a message at its first empty line.
func splitHeader(message []byte) (header, body []byte) {
	for i := 0; i < len(message); {
		n := bytes.IndexByte(message[i:], '\n')
		if n < 0 {
			break
		}
		if n == 0 || n == 1 && message[i] == '\r' {
			return message[:i], message[i+n+1:]
		}
		i += n + 1
	}
	return message, nil
}

// fieldOf returns the unfolded value of the first field of that name, cut at maxFieldValue octets,
// "" when there is none among the first maxFields.
func fieldOf(header []byte, name string) string {
	for range maxFields {
		if len(header) == 0 {
			return ""
		}
		var field []byte
		field, header = nextField(header)
		if len(field) > len(name) && field[len(name)] == ':' && strings.EqualFold(string(field[:len(name)]), name) {
			return tidy(field[len(name)+1:])
		}
	}
	return ""
}

// nextField cuts one field with its continuation lines.
func nextField(header []byte) (field, rest []byte) {
	for i := 0; ; {
		n := bytes.IndexByte(header[i:], '\n')
		if n < 0 {
			return header, nil
		}
		i += n + 1
		if i == len(header) || header[i] != ' ' && header[i] != '\t' {
			return header[:i], header[i:]
		}
	}
}

func tidy(value []byte) string {
	if len(value) > maxFieldValue {
		value = value[:maxFieldValue]
	}
	value = bytes.ReplaceAll(bytes.ReplaceAll(value, []byte("\r\n"), nil), []byte("\n"), nil) // unfolding (RFC 5322 2.2.3)
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError:
			return '?'
		}
		return r
	}, string(value)))
}

func mediaType(value string) (string, map[string]string) {
	if len(value) > 1000 { // the mime package has had costly inputs
		return "", nil
	}
	kind, params, err := mime.ParseMediaType(value)
	if err != nil {
		return "", nil
	}
	return kind, params
}

// splitParts cuts a multipart body at its boundary lines (RFC 2046 5.1.1). The last part may be cut
// short by the bound of what is read.
func splitParts(body []byte, boundary string) (parts [][]byte) {
	delimiter := []byte("--" + boundary)
	start := -1
	for i := 0; i < len(body) && len(parts) < maxParts; {
		end := len(body)
		if n := bytes.IndexByte(body[i:], '\n'); n >= 0 {
			end = i + n + 1
		}
		if line := bytes.TrimRight(body[i:end], "\r\n\t "); bytes.HasPrefix(line, delimiter) {
			tail := line[len(delimiter):]
			if last := string(tail) == "--"; last || len(tail) == 0 {
				if start >= 0 {
					parts = append(parts, body[start:i])
				}
				if last {
					return parts
				}
				start = end
			}
		}
		i = end
	}
	if start >= 0 && len(parts) < maxParts {
		parts = append(parts, body[start:])
	}
	return parts
}

// decode undoes a transfer encoding. RFC 3464 allows none, RFC 6533 does, and real systems use
// them; what is broken is read as far as it goes.
func decode(body []byte, encoding string) []byte {
	switch strings.ToLower(encoding) {
	case "base64":
		body, _ = io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body)))
	case "quoted-printable":
		body, _ = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(body)))
	}
	return body
}
