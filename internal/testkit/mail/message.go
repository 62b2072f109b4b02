package mail

import (
	"bytes"

	"github.com/postroad/postroad/bench/record"
)

// Message is a test message with its envelope.
type Message struct {
	ID         string
	Sender     string // "" is the null reverse-path
	Recipients []string
	Content    []byte // lines end in CRLF, dots are not stuffed; begins with the Marker field
	Sum        Sum    // of Content
	EightBit   bool   // has octets over 127: needs 8BITMIME
	UTF8       bool   // has an address that needs SMTPUTF8
	MailArgs   string // further parameters of MAIL, such as "RET=HDRS ENVID=x"
	RcptArgs   string // parameters of each RCPT, such as "NOTIFY=NEVER"
}

// Sum is the hash of a message from its Marker on.
type Sum = record.Sum

// markerLine is how the field begins, in lower case.
var markerLine = []byte("x-test-id:")

// BelowTrace returns content without the fields above the Marker, and the message's ID. Without a
// Marker in the header it returns all of it, and no ID.
func BelowTrace(content []byte) (rest []byte, id string) {
	for at := 0; at < len(content); {
		end := bytes.IndexByte(content[at:], '\n')
		if end < 0 {
			break
		}
		line := content[at : at+end+1]
		if len(line) >= len(markerLine) && bytes.EqualFold(line[:len(markerLine)], markerLine) {
			return content[at:], string(bytes.TrimSpace(line[len(markerLine):]))
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break // the header ends
		}
		at += len(line)
	}
	return content, ""
}

// SumOf returns the hash and the ID of content as received.
func SumOf(content []byte) (Sum, string) {
	rest, id := BelowTrace(content)
	return record.SumOf(rest), id
}

// stuff appends content to out as DATA carries it (RFC 5321 4.5.2), the final dot included.
func stuff(out, content []byte) []byte {
	for at := 0; at < len(content); {
		if content[at] == '.' {
			out = append(out, '.')
		}
		end := bytes.Index(content[at:], []byte("\r\n"))
		if end < 0 {
			out = append(append(out, content[at:]...), "\r\n"...)
			break
		}
		out = append(out, content[at:at+end+2]...)
		at += end + 2
	}
	return append(out, ".\r\n"...)
}
