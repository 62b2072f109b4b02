package message

import (
	"bytes"
	"io"
)

// The canonical forms of RFC 6376 3.4. A signature is over a message with CRLF line ends (5.3), so
// a bare LF is taken for one here.

// AppendSimple appends a field in its simple form (3.4.1): as it is.
func AppendSimple(b, field []byte) []byte {
	for line := range bytes.Lines(field) {
		if rest, ok := bytes.CutSuffix(line, []byte{'\n'}); ok {
			b = append(append(b, bytes.TrimSuffix(rest, []byte{'\r'})...), "\r\n"...)
		} else {
			b = append(b, line...)
		}
	}
	return b
}

// AppendRelaxed appends a field in its relaxed form (3.4.2): its name in lower case, its value
// unfolded, each run of white space one space and none at its ends, and CRLF.
func AppendRelaxed(b, field []byte) []byte {
	name, value, _ := bytes.Cut(field, []byte{':'})
	for _, c := range bytes.TrimRight(name, " \t") {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		b = append(b, c)
	}
	b = append(b, ':')
	start, space := len(b), false
	for line := range bytes.Lines(value) {
		if rest, ok := bytes.CutSuffix(line, []byte{'\n'}); ok {
			line = bytes.TrimSuffix(rest, []byte{'\r'})
		}
		for _, c := range line {
			if c == ' ' || c == '\t' {
				space = true
				continue
			}
			if space && len(b) > start {
				b = append(b, ' ')
			}
			b, space = append(b, c), false
		}
	}
	return append(b, "\r\n"...)
}

// BodyCanon writes the canonical form of a body that is written to it (RFC 6376 3.4.3, 3.4.4):
// simple, without the empty lines at its end and with one CRLF there; relaxed, also with one space
// for each run of white space within a line and none at its end, and nothing for a body of empty
// lines.
type BodyCanon struct {
	w       io.Writer
	relaxed bool

	written int64
	empty   int64 // line ends that are not written: they may be the last ones
	cr      bool  // the last octet was CR and may be part of a line end
	space   bool  // there was white space, which may be at the end of the line
	buf     []byte
	err     error
}

var (
	crlf     = []byte("\r\n")
	carriage = []byte{'\r'}
	blank    = []byte{' '}
)

// bodyBuffer is how much is gathered for one Write.
const bodyBuffer = 4 << 10

// NewBodyCanon returns one that writes to w.
func NewBodyCanon(w io.Writer, relaxed bool) *BodyCanon {
	return &BodyCanon{w: w, relaxed: relaxed, buf: make([]byte, 0, bodyBuffer)}
}

// Written returns how many octets the canonical form has.
func (c *BodyCanon) Written() int64 { return c.written }

// Write takes the next piece. Its error is that of the Writer.
func (c *BodyCanon) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if c.cr {
			if c.cr = false; p[0] != '\n' {
				c.text(carriage)
			}
		}
		line := p
		end := bytes.IndexByte(p, '\n')
		if end >= 0 {
			line, p = p[:end], p[end+1:]
		} else {
			p = nil
		}
		if len(line) > 0 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1]
			c.cr = end < 0
		}
		c.text(line)
		if end >= 0 {
			c.space = false
			c.empty++
		}
	}
	return n, c.err
}

// Close ends the body and writes what is left.
func (c *BodyCanon) Close() error {
	if c.cr {
		c.text(carriage)
	}
	if !c.relaxed || c.written+int64(len(c.buf)) > 0 {
		c.append(crlf)
	}
	c.flush()
	return c.err
}

// text takes octets of one line.
func (c *BodyCanon) text(line []byte) {
	if !c.relaxed {
		if len(line) > 0 {
			c.lineEnds()
			c.append(line)
		}
		return
	}
	for len(line) > 0 {
		n := 0
		for n < len(line) && isSpace(line[n]) {
			n++
		}
		c.space = c.space || n > 0
		if line = line[n:]; len(line) == 0 {
			return
		}
		n = spaced(line)
		c.lineEnds()
		if c.space {
			c.append(blank)
			c.space = false
		}
		c.append(line[:n])
		line = line[n:]
	}
}

// spaced returns how much of a line, which begins with text, is as it should be: single spaces with
// text behind them.
func spaced(line []byte) int {
	for i, c := range line {
		if c == '\t' || c == ' ' && (i+1 == len(line) || isSpace(line[i+1])) {
			return i
		}
	}
	return len(line)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// lineEnds writes the line ends that turned out not to be the last ones.
func (c *BodyCanon) lineEnds() {
	for ; c.empty > 0; c.empty-- {
		c.append(crlf)
	}
}

func (c *BodyCanon) append(p []byte) {
	if len(c.buf)+len(p) > bodyBuffer {
		c.flush()
		if len(p) > bodyBuffer {
			c.write(p)
			return
		}
	}
	c.buf = append(c.buf, p...)
}

func (c *BodyCanon) flush() {
	c.write(c.buf)
	c.buf = c.buf[:0]
}

func (c *BodyCanon) write(p []byte) {
	if c.err == nil && len(p) > 0 {
		_, c.err = c.w.Write(p)
		c.written += int64(len(p))
	}
}
