package message

import "bytes"

// MaxName bounds the name of a field in octets, with the white space before its colon. It is all
// that a Scanner holds back. The longest names in use have some 60.
const MaxName = 128

// Kind says what a token of a header is.
type Kind uint8

const (
	More  Kind = iota // the start of a line that does not tell yet what it is
	Name              // a name and its colon: a field begins
	Value             // part of a field's value, with line ends and continuation lines
	Junk              // part of lines that belong to no field, with line ends
	End               // the empty line after the header
	Body              // what comes after the header
)

// Scanner splits a header into tokens as it streams by. The zero value is at the start of a
// message.
type Scanner struct {
	at      place
	value   bool // the present line belongs to a field
	pending int  // octets of line that do not tell yet what they are
	held    int  // octets of line that belong to the last token
	name    int  // octets of the last name
	line    [MaxName]byte
}

type place uint8

const (
	lineStart place = iota
	inLine
	inBody
)

// Next says what the first n octets of p are: together with Held they are a token. Whoever calls it
// until p is used up has seen all.
func (s *Scanner) Next(p []byte) (k Kind, n int) {
	s.held = 0
	if len(p) == 0 {
		return More, 0
	}
	if s.at == lineStart && (s.pending > 0 || p[0] != ' ' && p[0] != '\t') {
		return s.startLine(p)
	}
	if s.at == inBody {
		return Body, len(p)
	}
	// The rest of a line and its continuation lines (RFC 5322 2.2.3).
	k = Junk
	if s.value {
		k = Value
	}
	for {
		i := bytes.IndexByte(p[n:], '\n')
		if i < 0 {
			s.at = inLine
			return k, len(p)
		}
		if n += i + 1; n == len(p) || p[n] != ' ' && p[n] != '\t' {
			s.at = lineStart
			return k, n
		}
	}
}

// Held returns the octets of the last token that came with earlier pieces. It is valid until the
// next call.
func (s *Scanner) Held() []byte { return s.line[:s.held] }

// Name returns the field's name when the last token was a Name and Next was given p. It is valid
// until the next call.
func (s *Scanner) Name(p []byte) []byte {
	if s.held > 0 {
		return s.line[:s.name]
	}
	return p[:s.name]
}

// Pending returns the octets at the end of what came that do not tell yet what they are. When the
// message ends they are Junk.
func (s *Scanner) Pending() []byte { return s.line[:s.pending] }

// Done reports whether the header has ended.
func (s *Scanner) Done() bool { return s.at == inBody }

// End says that the header is over: all that comes from now on is Body.
func (s *Scanner) End() { s.at, s.pending = inBody, 0 }

// Skip passes over the header: the first n octets of p belong to it or to the empty line after it,
// and done says that the body comes next.
func (s *Scanner) Skip(p []byte) (n int, done bool) {
	for n < len(p) && s.at != inBody {
		_, m := s.Next(p[n:])
		n += m
	}
	return n, s.at == inBody
}

// startLine looks at the start of a line, which is pending or at p[0].
func (s *Scanner) startLine(p []byte) (Kind, int) {
	line := p
	if s.pending > 0 {
		line = s.line[:s.pending+copy(s.line[s.pending:], p)]
	}
	end, name := fieldName(line)
	if name > 0 {
		s.held, s.pending = s.pending, 0
		s.at, s.value = inLine, true
		s.name = name
		return Name, end + 1 - s.held
	}
	return s.noField(line, p, end)
}

// noField is startLine where there is no name.
func (s *Scanner) noField(line, p []byte, end int) (Kind, int) {
	if end < 0 && len(line) < MaxName {
		if s.pending == 0 {
			copy(s.line[:], p)
		}
		s.pending = len(line)
		return More, len(p)
	}
	s.held, s.pending = s.pending, 0
	if end >= 0 && line[end] == '\n' && len(bytes.TrimLeft(line[:end], "\r")) == 0 {
		s.at = inBody
		return End, end + 1 - s.held
	}
	s.at, s.value = inLine, false
	held := s.held
	k, n := s.Next(p)
	s.held = held
	return k, n
}

// inName are the octets of a field's name: printable ASCII without the colon (RFC 5322 2.2).
var inName = func() (t [256]bool) {
	for c := '!'; c <= '~'; c++ {
		t[c] = c != ':'
	}
	return t
}()

// fieldName returns the place of the first colon or LF among the first MaxName octets of a line, or
// -1, and the length of the field name before a colon, 0 when there is none. White space may stand
// between the two (RFC 5322 4.5).
func fieldName(line []byte) (end, name int) {
	line = line[:min(len(line), MaxName)]
	for name < len(line) && inName[line[name]] {
		name++
	}
	end = name
	for end < len(line) && (line[end] == ' ' || line[end] == '\t') {
		end++
	}
	if end < len(line) && line[end] == ':' {
		return end, name
	}
	for end < len(line) && line[end] != ':' && line[end] != '\n' {
		end++
	}
	if end == len(line) {
		return -1, 0
	}
	return end, 0
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
