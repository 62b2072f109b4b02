package archive

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// The mbox format that we write is mboxrd: messages are parted by a line "From " after an empty
// one, and lines of a message that begin with any number of ">" and "From " have one ">" more.
// Lines end with LF, as other programs expect, where all of a message's end with CRLF. What that
// leaves out is in a line of our own, with two for other programs, in front of each message.

const ourLine = "X-Postroad: "

// MboxWriter writes an mbox.
type MboxWriter struct{ w *bufio.Writer }

// NewMboxWriter returns a writer of an mbox.
func NewMboxWriter(w io.Writer) *MboxWriter { return &MboxWriter{bufio.NewWriterSize(w, 64<<10)} }

// Folder implements Writer: an mbox has none without messages.
func (*MboxWriter) Folder(string) error { return nil }

// Write implements Writer.
func (b *MboxWriter) Write(m *Message) error {
	content, lines := m.Content, "raw"
	if pureCRLF(content) {
		content, lines = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")), "crlf"
	}
	fmt.Fprintf(b.w, "From MAILER-DAEMON %s\n", separatorDate(m.Date).Format(time.ANSIC))
	fmt.Fprintf(
		b.w,
		"%ssize=%d date=%d flags=%s lines=%s folder=%s\n",
		ourLine,
		len(m.Content),
		m.Date.UnixMilli(),
		flagsText(m.Flags),
		lines,
		url.QueryEscape(m.Folder),
	)
	status, x := mboxStatus(m.Flags)
	fmt.Fprintf(b.w, "Status: %s\nX-Status: %s\n", status, x)
	for len(content) > 0 {
		n := bytes.IndexByte(content, '\n') + 1
		if n == 0 {
			n = len(content)
		}
		if bytes.HasPrefix(bytes.TrimLeft(content[:n], ">"), []byte("From ")) {
			b.w.WriteByte('>')
		}
		b.w.Write(content[:n])
		content = content[n:]
	}
	if n := len(m.Content); n > 0 && m.Content[n-1] != '\n' {
		b.w.WriteByte('\n')
	}
	return b.w.WriteByte('\n')
}

// Close implements Writer.
func (b *MboxWriter) Close() error { return b.w.Flush() }

// separatorDate returns a date that a separator can have, whose year has four digits (RFC 4155,
// appendix A). Our own line has the date as it is.
func separatorDate(at time.Time) time.Time {
	if at = at.UTC(); at.Year() < 1 || at.Year() > 9999 {
		return time.Unix(0, 0).UTC()
	}
	return at
}

// pureCRLF reports whether CR and LF come together only.
func pureCRLF(b []byte) bool {
	for len(b) > 0 {
		n := bytes.IndexByte(b, '\r')
		if n < 0 {
			return bytes.IndexByte(b, '\n') < 0
		}
		if bytes.IndexByte(b[:n], '\n') >= 0 || n+1 == len(b) || b[n+1] != '\n' {
			return false
		}
		b = b[n+2:]
	}
	return true
}

// mboxStatus are the flags as mail programs keep them in an mbox.
func mboxStatus(f mailbox.Flags) (status, x string) {
	status = "O"
	if f&mailbox.Seen != 0 {
		status = "RO"
	}
	return status, statusFlags.text(f)
}

var statusFlags = letters{
	{'A', mailbox.Answered},
	{'F', mailbox.Flagged},
	{'D', mailbox.Deleted},
	{'T', mailbox.Draft},
}
