package message

import (
	"encoding/base64"
	"unicode/utf8"
)

// maxLine is the longest line of text (RFC 5322 2.1.1).
const maxLine = 998

// replacement stands for an octet between parts, where no encoding applies. RFC 2046 5.1.1 does not
// allow it in a boundary.
const replacement = '*'

// lineSpace stands for a CR in the middle of a line. White space at the end of a delimiter does not
// count, and neither does a CR there.
const lineSpace = ' '

// facts are what keeps a stretch of a message from being 7-bit lines of text (RFC 2045 2.7).
type facts struct {
	size int64
	high int64 // octets over 127
	wide int64 // those, unless they may stay
	utf8 bool  // those are well-formed UTF-8
	nul  bool
	cr   bool // a CR stands alone
	lf   bool // a LF stands alone
	long bool // a line has more than maxLine octets
}

// measure finds facts as the octets stream by.
type measure struct {
	facts
	line    int
	afterCR bool
	bad     bool // no UTF-8
	partial [utf8.UTFMax]byte
	held    int // of partial: the start of a character
}

func (m *measure) add(p []byte) {
	m.size += int64(len(p))
	for _, c := range p {
		switch {
		case c == '\n':
			m.lf = m.lf || !m.afterCR
			m.line = -1
		case m.afterCR:
			m.cr = true
		}
		if m.afterCR = c == '\r'; !m.afterCR {
			m.line++
		}
		m.long = m.long || m.line > maxLine
		m.nul = m.nul || c == 0
		if c >= 0x80 || m.held > 0 {
			m.character(c)
		}
	}
}

// character takes an octet of UTF-8 beyond ASCII.
func (m *measure) character(c byte) {
	if c >= 0x80 {
		m.high++
	}
	m.partial[m.held] = c
	m.held++
	if utf8.FullRune(m.partial[:m.held]) {
		r, n := utf8.DecodeRune(m.partial[:m.held])
		m.bad = m.bad || r == utf8.RuneError && n <= 1
		m.held = 0
	}
}

func (m *measure) end() facts {
	m.cr = m.cr || m.afterCR
	m.wide = m.high
	m.utf8 = !m.bad && m.held == 0
	return m.facts
}

// lineCopier copies what is not encoded. Line ends become CRLF; octets that have no place between
// parts become the replacement.
type lineCopier struct{ cr bool }

func (l *lineCopier) append(dst, p []byte, f *facts, last bool) []byte {
	if f.wide == 0 && !f.nul && !f.cr && !f.lf {
		return append(dst, p...)
	}
	for _, c := range p {
		switch {
		case c == '\n':
			dst = append(dst, '\r', '\n')
		case l.cr && c != '\r': // several CRs before a LF are one (see Scanner)
			dst = append(dst, lineSpace)
		}
		if l.cr = c == '\r'; l.cr || c == '\n' {
			continue
		}
		if c == 0 || c >= 0x80 && f.wide > 0 {
			c = replacement
		}
		dst = append(dst, c)
	}
	if last {
		l.cr = false
	}
	return dst
}

// quotedPrinter writes quoted-printable (RFC 2045 6.7). A CRLF ends a line; other CRs and LFs are
// octets. No line begins with a dash, so that none is a delimiter.
type quotedPrinter struct {
	column int
	space  byte // is held back: at the end of a line it has to be encoded
	cr     bool // is held back: it may begin a CRLF
}

func (q *quotedPrinter) append(dst, p []byte, last bool) []byte {
	for _, c := range p {
		if q.cr {
			q.cr = false
			if c == '\n' {
				dst = append(q.flush(dst, true), '\r', '\n')
				q.column = 0
				continue
			}
			dst = q.put(q.flush(dst, false), '\r', true)
		}
		switch {
		case c == '\r':
			q.cr = true
		case c == ' ' || c == '\t':
			dst = q.flush(dst, false)
			q.space = c
		default:
			dst = q.put(q.flush(dst, false), c, c == '=' || c < ' ' || c >= 0x7f)
		}
	}
	if !last {
		return dst
	}
	dst = q.flush(dst, !q.cr)
	if q.cr {
		dst = q.put(dst, '\r', true)
	}
	*q = quotedPrinter{}
	return dst
}

func (q *quotedPrinter) flush(dst []byte, lineEnds bool) []byte {
	if q.space != 0 {
		dst = q.put(dst, q.space, lineEnds)
		q.space = 0
	}
	return dst
}

func (q *quotedPrinter) put(dst []byte, c byte, quote bool) []byte {
	const hex = "0123456789ABCDEF"
	if q.column+1 > 75 || quote && q.column+3 > 75 {
		dst = append(dst, "=\r\n"...)
		q.column = 0
	}
	if quote || q.column == 0 && (c == '-' || c == '.') {
		q.column += 3
		return append(dst, '=', hex[c>>4], hex[c&15])
	}
	q.column++
	return append(dst, c)
}

// AppendQuotedPrintable appends text in quoted-printable (RFC 2045 6.7).
func AppendQuotedPrintable(dst, text []byte) []byte {
	return new(quotedPrinter).append(dst, text, true)
}

// base64Lines writes base64 in lines of 76 (RFC 2045 6.8), with CRLF between them.
type base64Lines struct {
	in    [57]byte
	n     int
	lines bool
}

func (b *base64Lines) append(dst, p []byte, last bool) []byte {
	for len(p) > 0 {
		n := copy(b.in[b.n:], p)
		p = p[n:]
		if b.n += n; b.n == len(b.in) {
			dst = b.line(dst)
		}
	}
	if !last {
		return dst
	}
	if b.n > 0 {
		dst = b.line(dst)
	}
	*b = base64Lines{}
	return dst
}

func (b *base64Lines) line(dst []byte) []byte {
	if b.lines {
		dst = append(dst, '\r', '\n')
	}
	dst = base64.StdEncoding.AppendEncode(dst, b.in[:b.n])
	b.n, b.lines = 0, true
	return dst
}

// AppendBase64 appends text in base64 (RFC 2045 6.8).
func AppendBase64(dst, text []byte) []byte { return new(base64Lines).append(dst, text, true) }
