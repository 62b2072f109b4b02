package archive

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/message"
	"github.com/postroad/postroad/mailbox"
)

// The mbox format is mboxrd: messages are parted by a line "From " after an empty one, and lines of
// a message that begin with any number of ">" and "From " have one ">" more. Lines end with LF, as
// other programs expect, where all of a message's end with CRLF. What that leaves out is in a line
// of our own, with two for other programs, in front of each message.

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
	fmt.Fprintf(b.w, "From MAILER-DAEMON %s\n", m.Date.UTC().Format(time.ANSIC))
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

// MboxReader reads an mbox, ours or another program's.
type MboxReader struct {
	r     *bufio.Reader
	begun bool
	from  string // the line "From " of the next message; "": there is none
	buf   []byte
}

// NewMboxReader returns a reader of an mbox.
func NewMboxReader(r io.Reader) *MboxReader {
	return &MboxReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// Next implements Reader.
func (b *MboxReader) Next() (*Message, error) {
	if !b.begun {
		if err := b.begin(); err != nil {
			return nil, err
		}
	}
	if b.from == "" {
		return nil, io.EOF
	}
	m := &Message{Folder: inbox, Date: fromDate(b.from)}
	if err := b.collect(); err != nil {
		return nil, err
	}
	return m, b.understand(m)
}

// begin finds the first message.
func (b *MboxReader) begin() error {
	b.begun = true
	line, err := b.r.ReadString('\n')
	if err == io.EOF && line == "" {
		return nil
	}
	if !strings.HasPrefix(line, "From ") {
		return fmt.Errorf("not an mbox: it does not begin with a line %q", "From ")
	}
	b.from = line
	return nil
}

// collect reads the lines of a message into buf, without the empty line that ends it, and the line
// "From " of the next.
func (b *MboxReader) collect() error {
	b.buf, b.from = b.buf[:0], ""
	for empty, whole := false, true; ; {
		line, err := b.r.ReadSlice('\n')
		start := whole
		whole = err != bufio.ErrBufferFull
		if err != nil && err != bufio.ErrBufferFull && err != io.EOF {
			return err
		}
		if start && empty && bytes.HasPrefix(line, []byte("From ")) {
			b.from = string(line)
			break
		}
		if start {
			empty = len(line) > 0 && len(bytes.TrimRight(line, "\r\n")) == 0
			line = unquote(line)
		}
		if b.buf = append(b.buf, line...); len(b.buf) > MaxMessage {
			return errTooLarge
		}
		if err == io.EOF {
			break
		}
	}
	if rest, ok := bytes.CutSuffix(b.buf, []byte("\r\n")); ok &&
		(len(rest) == 0 || rest[len(rest)-1] == '\n') {
		b.buf = rest
	} else if rest, ok := bytes.CutSuffix(b.buf, []byte("\n")); ok && (len(rest) == 0 ||
		rest[len(rest)-1] == '\n') {
		b.buf = rest
	}
	return nil
}

func unquote(line []byte) []byte {
	if len(line) > 0 && line[0] == '>' &&
		bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
		return line[1:]
	}
	return line
}

// understand takes what was written about a message out of it.
func (b *MboxReader) understand(m *Message) error {
	rest, ours := bytes.CutPrefix(b.buf, []byte(ourLine))
	if !ours {
		m.Flags = statusOf(b.buf)
		m.Content = toCRLF(b.buf)
		return nil
	}
	lines := bytes.SplitN(rest, []byte("\n"), 4)
	if len(lines) != 4 {
		return fmt.Errorf("a message of the mbox ends within its first lines")
	}
	size, crlf, err := m.parse(string(lines[0]))
	if err != nil {
		return err
	}
	m.Content = lines[3]
	if crlf {
		m.Content = bytes.ReplaceAll(m.Content, []byte("\n"), []byte("\r\n"))
	}
	if len(m.Content) < size || len(m.Content) > size+2 {
		return fmt.Errorf(
			"a message of the mbox has %d octets and should have %d: it was changed, or cut off",
			len(m.Content),
			size,
		)
	}
	m.Content = m.Content[:size]
	return nil
}

// parse reads our line.
func (m *Message) parse(line string) (size int, crlf bool, err error) {
	for _, word := range strings.Fields(line) {
		key, value, _ := strings.Cut(word, "=")
		var date int64
		switch key {
		case "size":
			size, err = strconv.Atoi(value)
		case "date":
			date, err = strconv.ParseInt(value, 10, 64)
			m.Date = time.UnixMilli(date)
		case "flags":
			m.Flags |= flagsOf(value)
		case "lines":
			crlf = value == "crlf"
		case "folder":
			m.Folder, err = url.QueryUnescape(value)
		}
		if err != nil {
			return 0, false, fmt.Errorf("%s%s: %w", ourLine, line, err)
		}
	}
	return size, crlf, nil
}

// statusOf reads the flags in the header of another program's message.
func statusOf(content []byte) (f mailbox.Flags) {
	for field := range message.Fields(content) {
		switch {
		case field.Is("Status"):
			if bytes.IndexByte(field.Value(), 'R') >= 0 {
				f |= mailbox.Seen
			}
		case field.Is("X-Status"):
			f |= statusFlags.flags(string(field.Value()))
		}
	}
	return f
}

// toCRLF makes lines end with CRLF, as in the mail protocols, unless some do already.
func toCRLF(b []byte) []byte {
	if bytes.IndexByte(b, '\r') >= 0 {
		return b
	}
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

// fromDate reads the date of a line "From "; the zero time when it has none that is known.
func fromDate(line string) time.Time {
	words := strings.Fields(line)
	for i := range words {
		for _, layout := range []string{
			"Mon Jan 2 15:04:05 2006", "Mon Jan 2 15:04:05 2006 -0700",
			"Mon Jan 2 15:04:05 -0700 2006",
		} {
			if t, err := time.Parse(layout, strings.Join(words[i:], " ")); err == nil {
				return t
			}
		}
	}
	return time.Time{}
}
