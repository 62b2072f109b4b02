package message

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/bits"
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
//
// Most of a body is in its canonical form already. Runs of such lines go to the Writer in one piece
// and without a copy. What is between them is gathered in a small buffer.
type BodyCanon struct {
	w       io.Writer
	relaxed bool

	written int64
	empty   int64 // line ends that are not written: they may be the last ones
	cr      bool  // the last octet was CR and may be part of a line end
	space   bool  // there was white space, which may be at the end of the line
	bare    bool
	err     error

	gathered int
	buf      [bodyBuffer]byte
}

var (
	crlf      = []byte("\r\n")
	carriage  = []byte{'\r'}
	blank     = []byte{' '}
	twoSpaces = []byte("  ")
)

// bodyBuffer is how many octets are gathered for one Write.
const bodyBuffer = 1 << 10

// NewBodyCanon returns one that writes to w.
func NewBodyCanon(w io.Writer, relaxed bool) *BodyCanon {
	return &BodyCanon{w: w, relaxed: relaxed}
}

// Reset makes c what NewBodyCanon returns for the same Writer and form.
func (c *BodyCanon) Reset() { *c = BodyCanon{w: c.w, relaxed: c.relaxed} }

// Written returns how many octets the canonical form has.
func (c *BodyCanon) Written() int64 { return c.written }

// Bare reports whether there was a CR or LF that is not part of CRLF. The canonical form has CRLF
// for such an LF, and such a CR as it is; another reader may take them for something else.
func (c *BodyCanon) Bare() bool { return c.bare }

// Write takes the next piece. Its error is that of the Writer.
func (c *BodyCanon) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, c.err
	}
	cr := c.cr // before p
	tab := c.relaxed && bytes.IndexByte(p, '\t') >= 0
	crs := bytes.Count(p, carriage) // that are not at the end of a line, at last
	if c.cr = false; cr && p[0] != '\n' {
		cr, c.bare = false, true
		c.text(carriage)
	}
	// p[from:to] is as it should be, ends in text and is not written. The line ends between it and
	// p[i] are CRLF, and c.empty of them.
	from, to := 0, 0
	for i := 0; i < len(p); {
		line, next, ended := p[i:], len(p), false
		if n := bytes.IndexByte(line, '\n'); n >= 0 {
			line, next, ended = line[:n], i+n+1, true
		}
		if n := len(line) - 1; n >= 0 && line[n] == '\r' {
			line = line[:n]
			cr, c.cr = true, !ended
			crs--
		}
		if len(line) > 0 {
			switch {
			case c.relaxed && (c.space || tab && bytes.IndexByte(line, '\t') >= 0 || !single(line)):
				c.append(p[from:to])
				from, to = 0, 0
				c.text(line)
			case from == to:
				c.lineEnds()
				from, to = i, i+len(line)
			default:
				c.empty, to = 0, i+len(line)
			}
		}
		if ended {
			if !cr {
				c.bare = true
				c.append(p[from:to])
				from, to = 0, 0
			}
			c.space = false
			c.empty++
		}
		cr, i = false, next
	}
	c.bare = c.bare || crs > 0
	c.append(p[from:to])
	return len(p), c.err
}

// Close ends the body and writes what is left.
func (c *BodyCanon) Close() error {
	if c.cr {
		c.bare = true
		c.text(carriage)
	}
	if !c.relaxed || c.written+int64(c.gathered) > 0 {
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

// Eight octets in one word.
const (
	each    = 0x0101010101010101
	lowBits = 0x7f * each
	highBit = 0x80 * each
	spaces  = ' ' * each
	tabs    = '\t' * each
)

// single reports whether each space of a line has text behind it. It sees all octets of all mail,
// so it looks at eight pairs at once.
func single(line []byte) bool {
	n := len(line)
	if n < 9 {
		return !bytes.Contains(line, twoSpaces) && (n == 0 || line[n-1] != ' ')
	}
	last := line[n-9:]
	for len(line) >= 17 {
		a, b := pairs(line), pairs(line[8:])
		if ((a-each)&^a|(b-each)&^b)&highBit != 0 {
			return false
		}
		line = line[16:]
	}
	if len(line) > 9 {
		if a := pairs(line); (a-each)&^a&highBit != 0 {
			return false
		}
	}
	a := pairs(last)
	return (a-each)&^a&highBit == 0 && last[8] != ' '
}

// pairs returns a word with an octet of zero for each of eight pairs of octets that is two spaces.
func pairs(p []byte) uint64 {
	return (binary.LittleEndian.Uint64(p) ^ spaces) | (binary.LittleEndian.Uint64(p[1:]) ^ spaces)
}

// zeros returns a word with the high bit set of each octet of x that is zero, and no other bit.
func zeros(x uint64) uint64 { return ^((x&lowBits + lowBits) | x | lowBits) }

// spaced returns how much of a line is as the relaxed form has it: single spaces with text behind
// them.
func spaced(line []byte) int {
	i, last := 0, uint64(0) // last: the high bit of the lowest octet if a space comes before
	for ; i+8 <= len(line); i += 8 {
		x := binary.LittleEndian.Uint64(line[i:])
		s := zeros(x ^ spaces)
		if bad := s&(s<<8|last) | zeros(x^tabs); bad != 0 {
			i += bits.TrailingZeros64(bad) / 8
			return withoutSpace(line, i)
		}
		last = s >> 63 << 7
	}
	for ; i < len(line); i++ {
		if c := line[i]; c == '\t' || c == ' ' && i > 0 && line[i-1] == ' ' {
			return withoutSpace(line, i)
		}
	}
	return withoutSpace(line, i)
}

// withoutSpace returns n, or less by the space that may be the last of the first n octets.
func withoutSpace(line []byte, n int) int {
	if n > 0 && line[n-1] == ' ' {
		return n - 1
	}
	return n
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// lineEnds writes the line ends that turned out not to be the last ones.
func (c *BodyCanon) lineEnds() {
	for ; c.empty > 0; c.empty-- {
		c.append(crlf)
	}
}

func (c *BodyCanon) append(p []byte) {
	if c.gathered+len(p) > bodyBuffer {
		c.flush()
		if len(p) > bodyBuffer {
			c.write(p)
			return
		}
	}
	c.gathered += copy(c.buf[c.gathered:], p)
}

func (c *BodyCanon) flush() {
	c.write(c.buf[:c.gathered])
	c.gathered = 0
}

func (c *BodyCanon) write(p []byte) {
	if c.err == nil && len(p) > 0 {
		_, c.err = c.w.Write(p)
		c.written += int64(len(p))
	}
}
