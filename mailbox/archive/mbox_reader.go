package archive

import (
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

// How an mbox is parted into messages:
//
//  1. A line with a sender and a date (separator.go) begins a message at the start of the file and
//     after an empty line, which belongs to no message.
//  2. Such a line within a body is text when the Content-Length of its message reaches over it and
//     fits: a separator or the end of the file is where it points, after an empty line or not.
//     Programs that keep a Content-Length often do not mark lines "From " in any other way, and
//     others leave a wrong one behind, so it is never used without that check.
//  3. Otherwise such a line without an empty one before it begins a message, too, and the report
//     tells of it: two messages were written one after the other without the line between them.
//  4. All other lines that begin with "From " are text.
//
// Rules 2 and 3 are for the files of other programs. In our own no line of a message begins with
// "From ", and sizes are checked.

// MboxReader reads an mbox, ours or another program's.
type MboxReader struct {
	in     window
	begun  bool
	more   bool      // a message follows
	date   time.Time // of its separator
	start  int64     // octets before it, with its separator's
	number int64     // of messages that were begun
	buf    []byte
	report Report
}

// NewMboxReader returns a reader of an mbox.
func NewMboxReader(r io.Reader) *MboxReader { return &MboxReader{in: window{r: r}} }

// Report tells what was left out, or in doubt, so far.
func (b *MboxReader) Report() *Report { return &b.report }

// Next implements Reader.
func (b *MboxReader) Next() (*Message, error) {
	if !b.begun {
		if err := b.begin(); err != nil {
			return nil, err
		}
	}
	for b.more {
		b.number++
		m := &Message{Folder: inbox, Date: b.date}
		place := placeOf(b.number, b.start)
		if err := b.collect(); err != nil {
			return nil, err
		}
		if bytes.HasPrefix(b.buf, []byte(ourLine)) {
			return m, b.understand(m)
		}
		if found, out := b.leftOut(); out {
			b.report.add(found, place)
			continue
		}
		m.Flags = statusOf(b.buf)
		m.Content = toCRLF(b.buf)
		return m, nil
	}
	return nil, io.EOF
}

// placeOf says where in the file a person finds something.
func placeOf(message, octet int64) string {
	return fmt.Sprintf("message %d at octet %d", message, octet)
}

// begin finds the first message.
func (b *MboxReader) begin() error {
	b.begun = true
	head, err := b.in.ahead(maxMagic)
	if err != nil {
		return err
	}
	if c := compressionOf(head); c != nil {
		return fmt.Errorf("not an mbox: it is compressed with %s; unpack it first (%s)",
			c.name, c.how)
	}
	line, err := b.in.line()
	if err != nil || len(line) == 0 {
		return err
	}
	at, ok := separator(line)
	switch {
	case ok:
		b.separate(at, len(line))
		return nil
	case bytes.HasPrefix(line, fromWord):
		return fmt.Errorf("not an mbox: its first line %.80q has no date (RFC 4155)",
			bytes.TrimRight(line, "\r\n"))
	}
	return fmt.Errorf("not an mbox: it does not begin with a line %q", "From ")
}

// separate takes a separator of so many octets.
func (b *MboxReader) separate(at time.Time, octets int) {
	b.more, b.date, b.start = true, at, b.in.taken
	b.in.take(octets)
}

// bodyRead is what collect knows of a message's body.
type bodyRead struct {
	at       int  // in buf; 0 while the header lasts
	length   int  // Content-Length; -1: there is none to use
	verbatim bool // it has a separator in it, so lines "From " are not marked
}

// end returns where in buf the body ends by its Content-Length, 0 if it does not say.
func (r *bodyRead) end() int {
	if r.at == 0 || r.length < 0 {
		return 0
	}
	return r.at + r.length
}

// fits reports whether all of a message, as buf has it, ends where its Content-Length says.
func (r *bodyRead) fits(buf []byte) bool {
	end := r.end()
	return end > 0 && end <= len(buf) && endsAt(buf, end)
}

// collect reads the lines of a message into buf, without the empty line that ends it, and the
// separator of the next.
func (b *MboxReader) collect() error {
	b.buf, b.more = b.buf[:0], false
	body := bodyRead{length: -1}
	var doubt string // the place of a line "From " without a date, which was the last line
	for starts, empty := true, false; ; {
		line, err := b.in.line()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		if starts && doubt != "" && isField(line) {
			b.report.add(foundDateless, doubt)
		}
		doubt = ""
		n := len(line)
		if at, is := separator(line); starts && is {
			reach, err := b.reach(&body)
			if err != nil {
				return err
			}
			if reach == 0 {
				b.separate(at, n)
				if !empty && !body.fits(b.buf) {
					b.report.add(foundGlued, placeOf(b.number+1, b.start))
				}
				break
			}
			body.verbatim = true
			n = reach
		} else if starts && empty && bytes.HasPrefix(line, fromWord) {
			doubt = placeOf(b.number, b.in.taken)
		}
		if err := b.keep(n); err != nil {
			return err
		}
		added := b.buf[len(b.buf)-n:]
		empty = starts && isEmpty(added)
		starts = added[n-1] == '\n'
		if body.at == 0 && empty {
			body.at, body.length = len(b.buf), contentLength(b.buf)
		}
	}
	b.end(&body)
	return nil
}

// keep moves octets of a message from the window into buf.
func (b *MboxReader) keep(n int) error {
	data, err := b.in.ahead(n)
	if err != nil {
		return err
	}
	b.buf = append(b.buf, data[:n]...)
	b.in.take(n)
	if len(b.buf) > MaxMessage {
		return errTooLarge
	}
	return nil
}

// reach returns how many octets the body has from here on if its Content-Length reaches over what
// comes and fits, else 0.
func (b *MboxReader) reach(body *bodyRead) (n int, err error) {
	if n = body.end() - len(b.buf); n <= 0 {
		return 0, nil
	}
	data, err := b.in.ahead(n + maxSeparator + len("\r\n\r\n"))
	if err != nil || len(data) < n || !endsAt(data, n) {
		return 0, err
	}
	return n, nil
}

// endsAt reports whether a message can end after n octets: after a line end and an optional empty
// line a separator or the end follows.
func endsAt(data []byte, n int) bool {
	rest := data[n:]
	if data[n-1] != '\n' {
		end := lineEnd(rest)
		if end == 0 && len(rest) > 0 {
			return false
		}
		rest = rest[end:]
	}
	rest = rest[lineEnd(rest):]
	line := rest
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		line = rest[:i+1]
	}
	_, is := separator(line)
	return is || len(rest) == 0
}

// lineEnd returns the octets of the line end at the start of b.
func lineEnd(b []byte) int {
	switch {
	case bytes.HasPrefix(b, []byte("\n")):
		return 1
	case bytes.HasPrefix(b, []byte("\r\n")):
		return 2
	}
	return 0
}

func isEmpty(line []byte) bool { return len(bytes.TrimRight(line, "\r\n")) == 0 }

// isField reports whether a line looks as if a header began with it.
func isField(line []byte) bool {
	for f := range message.Fields(line) {
		return f.Name != nil
	}
	return false
}

// end takes off what ends the message in the file, and the marks of lines "From ".
func (b *MboxReader) end(body *bodyRead) {
	if end := body.end(); body.fits(b.buf) && b.buf[end-1] == '\n' {
		b.buf = b.buf[:end]
	} else {
		b.buf = withoutEmptyLine(b.buf)
	}
	if !body.verbatim {
		b.buf = unquote(b.buf)
	}
}

// withoutEmptyLine takes an empty line off the end.
func withoutEmptyLine(b []byte) []byte {
	rest, ok := bytes.CutSuffix(b, []byte("\n"))
	rest = bytes.TrimSuffix(rest, []byte("\r"))
	if ok && (len(rest) == 0 || rest[len(rest)-1] == '\n') {
		return rest
	}
	return b
}

// unquote takes one ">" off each line that begins with any number of them and "From ". It changes
// the memory of b.
func unquote(b []byte) []byte {
	to := 0
	for line := range bytes.Lines(b) {
		if line[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(line, ">"), fromWord) {
			line = line[1:]
		}
		to += copy(b[to:], line)
	}
	return b[:to]
}

// contentLength returns the octets of a body as the first field Content-Length of its header says,
// or -1. The field means the file of the mbox, not the message, so one in a message of ours, which
// came with it, says nothing.
func contentLength(header []byte) int {
	if bytes.HasPrefix(header, []byte(ourLine)) {
		return -1
	}
	f, ok := message.Find(header, "Content-Length")
	if !ok {
		return -1
	}
	n := number(string(bytes.TrimSpace(f.Value())), 1, 10)
	if n > MaxMessage {
		return -1
	}
	return n
}

// leftOut reports whether a message of another program is none for the mailbox. Of fields that are
// there twice the first counts: programs write theirs in front of the message's own.
func (b *MboxReader) leftOut() (found finding, out bool) {
	// MSG_FLAG_EXPUNGED: what was deleted stays in the file until it is compacted.
	const expunged = 0x0008
	if f, ok := message.Find(b.buf, "X-Mozilla-Status"); ok {
		flags, err := strconv.ParseUint(string(bytes.TrimSpace(f.Value())), 16, 32)
		if err == nil && flags&expunged != 0 {
			return foundDeleted, true
		}
	}
	if b.number > 1 {
		return 0, false
	}
	// The c-client library keeps UIDs and keywords in a message of its own at the start of a file.
	_, imap := message.Find(b.buf, "X-IMAP")
	_, base := message.Find(b.buf, "X-IMAPbase")
	subject := message.Text(b.buf, "Subject", 100)
	return foundInternal, (imap || base) &&
		strings.HasPrefix(subject, "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA")
}

// understand takes our lines about a message out of it.
func (b *MboxReader) understand(m *Message) error {
	rest := bytes.TrimPrefix(b.buf, []byte(ourLine))
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
