package smtp

import "bytes"

// MaxTextLine is the longest line of mail data in octets, CRLF not counted (RFC 5321 4.5.3.1.6
// counts it: 1000).
const MaxTextLine = 998

// DataReceiver takes mail data off the wire (RFC 5321 4.5.2): it removes dot-stuffing and finds the
// end of mail data, which is CRLF.CRLF and nothing else. A CR or LF that is not part of a CRLF is
// counted, never repaired: repairing it is what lets one message become two (SMTP smuggling,
// CVE-2023-51764 and its kin).
//
// The zero value stands at the start of mail data.
type DataReceiver struct {
	state dataState
	line  int // octets of the present line, dot removed

	MaxLine int // octets of a line that is not a long one; at least MaxTextLine

	Bare      int // CRs and LFs that stand alone
	LongLines int // lines of more than MaxLine octets
}

type dataState uint8

const (
	atLineStart dataState = iota
	inLine
	afterCR    // in a line, the last octet was CR and has been given out
	afterDot   // the line's first octet was a dot, which is dropped
	afterDotCR // the line so far is ".CR"; the CR is held back
	ended
)

// Append appends the unstuffed form of data to dst, at most len(data)+1 octets, and returns how
// many octets of data it used. It uses all of them unless done: then the end of mail data was
// found, and what follows are commands. The CRLF before the final dot belongs to the mail data and
// is appended.
func (r *DataReceiver) Append(dst, data []byte) (out []byte, used int, done bool) {
	from, i := 0, 0 // data[from:i] is yet to be copied
	for i < len(data) && r.state != ended {
		switch r.state {
		case atLineStart:
			r.state = inLine
			if data[i] == '.' {
				dst = append(dst, data[from:i]...)
				i++
				from = i
				r.state = afterDot
			}
		case inLine:
			i += r.scan(data[i:])
		case afterCR:
			i += r.endLine(data[i])
		case afterDot:
			r.state = inLine
			if data[i] == '\r' {
				i++
				from = i
				r.state = afterDotCR
			}
		case afterDotCR:
			if data[i] == '\n' {
				i++
				from = i
				r.state = ended
				break
			}
			dst = append(dst, '\r')
			r.line = 1
			r.state = afterCR
		}
	}
	return append(dst, data[from:i]...), i, r.state == ended
}

// scan passes over whole lines as long as none begins with a dot. It stops at the first octet that
// it does not decide about.
func (r *DataReceiver) scan(data []byte) int {
	n, ended := r.wholeLines(data)
	// all CRs at once, instead of a search in each line
	r.Bare += bytes.Count(data[:n], []byte{'\r'}) - ended
	if r.state == atLineStart {
		return n
	}
	return n + r.tail(data[n:])
}

// wholeLines returns the length of the lines, and how many CRLFs end them. A lone LF is counted
// here; it is an octet of the line and does not end it.
func (r *DataReceiver) wholeLines(data []byte) (n, ended int) {
	for {
		rest := data[n:]
		lf := bytes.IndexByte(rest, '\n')
		if lf < 0 {
			return n, ended
		}
		n += lf + 1
		if lf == 0 || rest[lf-1] != '\r' {
			r.Bare++
			r.line += lf + 1
			continue
		}
		ended++
		r.line += lf - 1
		r.closeLine()
		if n == len(data) || data[n] == '.' {
			r.state = atLineStart
			return n, ended
		}
	}
}

// tail takes what comes after the last LF of the data.
func (r *DataReceiver) tail(text []byte) int {
	n := len(text)
	r.line += n
	if n > 0 && text[n-1] == '\r' {
		r.state = afterCR
		text = text[:n-1]
	}
	r.Bare += bytes.Count(text, []byte{'\r'})
	return n
}

// endLine decides about the octet c that follows a CR.
func (r *DataReceiver) endLine(c byte) int {
	if c == '\n' {
		r.line-- // the CR
		r.closeLine()
		r.state = atLineStart
		return 1
	}
	r.Bare++
	r.state = inLine
	return 0
}

func (r *DataReceiver) closeLine() {
	if r.line > MaxTextLine && r.line > r.MaxLine {
		r.LongLines++
	}
	r.line = 0
}

// DotStuffer puts mail data on the wire (RFC 5321 4.5.2) in pieces of any size. A CR or LF that
// stands alone becomes CRLF: our client never sends one. The zero value stands at the start of mail
// data.
type DotStuffer struct {
	midLine bool
	cr      bool // the last octet was CR; its LF is to follow

	Repaired int // CRs and LFs that stood alone
}

// Append appends the stuffed form of data to dst.
func (s *DotStuffer) Append(dst, data []byte) []byte {
	for len(data) > 0 {
		if s.cr {
			s.cr, s.midLine = false, false
			dst = append(dst, '\r', '\n')
			if data[0] == '\n' {
				data = data[1:]
				continue
			}
			s.Repaired++
		}
		if !s.midLine && data[0] == '.' {
			dst = append(dst, '.')
		}
		n := s.lines(data)
		dst = append(dst, data[:n]...)
		data = data[n:]
		if len(data) == 0 || !s.midLine {
			continue
		}
		if data[0] == '\r' {
			s.cr = true
		} else {
			s.Repaired++
			s.midLine = false
			dst = append(dst, '\r', '\n')
		}
		data = data[1:]
	}
	return dst
}

// lines returns the length of the lines that can be copied as they are: up to the next line that
// begins with a dot, or to the next CR or LF that is not half of a CRLF within data.
func (s *DotStuffer) lines(data []byte) (n int) {
	for n < len(data) {
		if !s.midLine && n > 0 && data[n] == '.' {
			return n
		}
		s.midLine = true
		rest := data[n:]
		lf := bytes.IndexByte(rest, '\n')
		text := rest
		if lf >= 0 {
			text = rest[:lf]
		}
		cr := bytes.IndexByte(text, '\r')
		switch {
		case lf > 0 && cr == lf-1:
			s.midLine = false
			n += lf + 1
		case cr >= 0:
			return n + cr
		default:
			return n + len(text)
		}
	}
	return n
}

// Pass returns how many octets at the start of data can be sent as they are, and takes them as
// sent: a large content is sent from where it lies, and only where something has to be put in does
// Append make a copy.
func (s *DotStuffer) Pass(data []byte) (n int) {
	if s.cr {
		return 0
	}
	if s.midLine {
		line := data[:bytes.IndexByte(data, '\n')+1]
		if n = s.lines(line); n < len(line) {
			return n
		}
	}
	if whole := bytes.LastIndexByte(data, '\n') + 1; !s.midLine && whole > n &&
		Clean(data[n:whole]) {
		n = whole
	}
	if n == len(data) || !s.midLine && data[n] == '.' {
		return n
	}
	return n + s.lines(data[n:])
}

// Clean reports whether content can go on the wire as it is: lines end with CRLF, none begins with
// a dot, no CR or LF stands alone.
func Clean(content []byte) bool {
	if len(content) > 0 && content[0] == '.' {
		return false
	}
	lines, p := 0, content
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		if i == 0 || p[i-1] != '\r' || i+1 < len(p) && p[i+1] == '.' {
			return false
		}
		lines++
		p = p[i+1:]
	}
	return bytes.Count(content, []byte{'\r'}) == lines
}

// Finish appends the end of mail data: CRLF if the last line has none, dot, CRLF.
func (s *DotStuffer) Finish(dst []byte) []byte {
	if s.midLine || s.cr {
		dst = append(dst, '\r', '\n')
	}
	return append(dst, '.', '\r', '\n')
}
