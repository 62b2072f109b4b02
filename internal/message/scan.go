package message

import "bytes"

// MaxName bounds the name of a field in octets, with the white space before its colon. It is all that
// a Scanner holds back. The longest names in use have some 60.
const MaxName = 128

// Kind says what a token of a header is.
type Kind uint8

const (
	More  Kind = iota // the start of a line that does not tell yet what it is
	Name              // a name and its colon: a field begins
	Value             // of a field's value at most a line, with its line end
	Junk              // at most a line that belongs to no field, with its line end
	End               // the empty line after the header
	Body              // what comes after the header
)

// Token is what the next octets of a header are.
type Token struct {
	Kind Kind
	N    int    // octets of the piece that belong to it
	Name []byte // of a Name: the field's name; valid until the next call
}

// Scanner splits a header into tokens as it streams by. The zero value is at the start of a message.
type Scanner struct {
	at      place
	value   bool // the present line belongs to a field
	pending int  // octets of line that do not tell yet what they are
	held    int  // octets of line that belong to the last token
	line    [MaxName]byte
}

type place uint8

const (
	lineStart place = iota
	inLine
	inBody
)

// Next says what the first octets of p are. The token's own octets are Held and p[:N]. Whoever calls
// it until p is used up has seen all.
func (s *Scanner) Next(p []byte) Token {
	s.held = 0
	if len(p) == 0 {
		return Token{}
	}
	switch s.at {
	case lineStart:
		return s.startLine(p)
	case inBody:
		return Token{Kind: Body, N: len(p)}
	}
	return s.restOfLine(p)
}

// Held returns the octets of the last token that came with earlier pieces. It is valid until the next
// call.
func (s *Scanner) Held() []byte { return s.line[:s.held] }

// Pending returns the octets at the end of what came that do not tell yet what they are. When the
// message ends they are Junk.
func (s *Scanner) Pending() []byte { return s.line[:s.pending] }

// Done reports whether the header has ended.
func (s *Scanner) Done() bool { return s.at == inBody }

// Skip passes over the header: the first n octets of p belong to it or to the empty line after it, and
// done says that the body comes next.
func (s *Scanner) Skip(p []byte) (n int, done bool) {
	for n < len(p) && s.at != inBody {
		n += s.Next(p[n:]).N
	}
	return n, s.at == inBody
}

func (s *Scanner) startLine(p []byte) Token {
	line := p
	switch {
	case s.pending > 0:
		line = s.line[:s.pending+copy(s.line[s.pending:], p)]
	case p[0] == ' ' || p[0] == '\t': // folded, RFC 5322 2.2.3
		return s.restOfLine(p)
	}
	end, name := fieldName(line)
	if end < 0 && len(line) < MaxName {
		if s.pending == 0 {
			copy(s.line[:], p)
		}
		s.pending = len(line)
		return Token{Kind: More, N: len(p)}
	}
	s.held, s.pending = s.pending, 0
	switch {
	case name > 0:
		s.at, s.value = inLine, true
		return Token{Kind: Name, N: end + 1 - s.held, Name: line[:name]}
	case end >= 0 && line[end] == '\n' && len(bytes.TrimLeft(line[:end], "\r")) == 0:
		s.at = inBody
		return Token{Kind: End, N: end + 1 - s.held}
	}
	s.value = false
	return s.restOfLine(p)
}

func (s *Scanner) restOfLine(p []byte) Token {
	t := Token{Kind: Junk, N: bytes.IndexByte(p, '\n') + 1}
	if s.value {
		t.Kind = Value
	}
	s.at = lineStart
	if t.N == 0 {
		s.at, t.N = inLine, len(p)
	}
	return t
}

// fieldName returns the place of the first colon or LF among the first MaxName octets of a line, or
// -1, and the length of the field name before a colon, 0 when there is none: printable ASCII (RFC 5322
// 2.2), perhaps with white space behind it (4.5).
func fieldName(line []byte) (end, name int) {
	name = -1
	for i, c := range line[:min(len(line), MaxName)] {
		switch {
		case c == ':':
			if name < 0 {
				name = i
			}
			return i, name
		case c == '\n':
			return i, 0
		case c == ' ' || c == '\t':
			if name < 0 {
				name = i
			}
		case c < ' ' || c >= 0x7f || name > 0:
			name = 0
		}
	}
	return -1, 0
}

// Is reports whether a field's name is want, case of ASCII letters aside.
func Is(name []byte, want string) bool {
	if len(name) != len(want) {
		return false
	}
	for i, c := range name {
		d := want[i]
		if c != d && (c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}
