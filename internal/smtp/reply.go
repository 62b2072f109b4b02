package smtp

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Reply is an SMTP reply (RFC 5321 4.2), with the enhanced status code (RFC 2034) taken out of its
// text.
type Reply struct {
	Code     int
	Enhanced string // "2.0.0", "" when there was none
	Text     string // the lines joined by "\n"
}

// Class returns the first digit of the code.
func (r Reply) Class() int { return r.Code / 100 }

// Line returns the reply on one line, as logs and reports want it: code, enhanced code, text.
func (r Reply) Line() string {
	s := strconv.Itoa(r.Code)
	if r.Enhanced != "" {
		s += " " + r.Enhanced
	}
	if r.Text != "" {
		s += " " + strings.ReplaceAll(r.Text, "\n", " ")
	}
	return s
}

// Words returns what followed the code in a peer's reply, on one line. Where the peer gave no
// enhanced code, enhanced is what was made of its reply code and is left out: it has no detail, or
// another class (RFC 3463 2). text may begin with the peer's own.
func Words(code int, enhanced, text string) string {
	if !gave(code, enhanced, text) {
		return text
	}
	if text == "" {
		return enhanced
	}
	return enhanced + " " + text
}

// gave reports whether a peer gave this enhanced code before text.
func gave(code int, enhanced, text string) bool {
	if len(enhanced) == 0 || enhanced[0] != byte('0'+code/100) {
		return false
	}
	return enhanced[0] == '2' ||
		enhanced[1:] != ".0.0" && enhancedCode([]byte(text[:min(len(text), 12)]), enhanced[0]) == 0
}

// maxReplyText keeps a line of ours within 512 octets with its code, enhanced code and CRLF (RFC
// 5321 4.5.3.1.5).
const maxReplyText = 490

// AppendReply appends a reply of one line for each of lines, at least one. Octets that would break
// the reply are replaced, so that a peer's own words can be quoted to it. enhanced may be "".
func AppendReply(dst []byte, code int, enhanced string, lines ...string) []byte {
	if len(lines) == 0 {
		return appendReplyLine(dst, code, ' ', enhanced, "")
	}
	for i, line := range lines {
		sep := byte('-')
		if i == len(lines)-1 {
			sep = ' '
		}
		dst = appendReplyLine(dst, code, sep, enhanced, line)
	}
	return dst
}

// AppendFailure appends the reply that reports f.
func AppendFailure(dst []byte, f *Failure) []byte {
	return AppendReply(dst, f.Code, f.Enhanced, f.Text)
}

func appendReplyLine(dst []byte, code int, sep byte, enhanced, text string) []byte {
	dst = append(strconv.AppendInt(dst, int64(code), 10), sep)
	if enhanced != "" {
		dst = append(append(dst, enhanced...), ' ')
	}
	if len(text) > maxReplyText {
		text = text[:maxReplyText] // half a character becomes a question mark below
	}
	return append(appendClean(dst, text), '\r', '\n')
}

// appendClean appends text with "?" for each control octet and for what is not UTF-8.
func appendClean[S string | []byte](dst []byte, text S) []byte {
	plain := true
	for i := 0; i < len(text); i++ {
		if c := text[i]; c < ' ' || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return append(dst, text...)
	}
	for _, r := range string(text) {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			r = '?'
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// Limits of a reply that a remote may send: wide for the honest, bounded for the hostile (a 100 MB
// reply).
const (
	maxReplyLine  = 2048 // octets, RFC 5321 4.5.3.1.5 says 512
	maxReplyLines = 128
)

// Errors of ReplyParser. After one the connection is of no more use.
var (
	ErrReplySyntax = errors.New("the remote sent something that is not an SMTP reply")
	ErrReplySize   = errors.New("the remote sent a reply that is too long")
)

// ReplyParser puts replies together from the octets of a connection, in pieces of any size. It
// holds at most maxReplyLine octets of an unfinished line and maxReplyLines lines. The zero value
// is ready.
type ReplyParser struct {
	code     int
	lines    int
	enhanced string
	text     []byte // of the lines so far
	partial  []byte // an unfinished line
	done     bool
	err      error
}

// Parse takes octets and returns how many it used. done says that a reply is complete and that
// Reply returns it; what follows in data belongs to the next one.
func (p *ReplyParser) Parse(data []byte) (n int, done bool, err error) {
	if p.err != nil {
		return 0, false, p.err
	}
	if p.done {
		*p = ReplyParser{text: p.text[:0], partial: p.partial[:0]}
	}
	for n < len(data) && !p.done {
		line, used, whole := nextLine(data[n:])
		n += used
		if len(p.partial)+len(line) > maxReplyLine {
			p.err = ErrReplySize
			return n, false, p.err
		}
		if !whole {
			p.partial = append(p.partial, line...)
			return n, false, nil
		}
		if len(p.partial) > 0 {
			p.partial = append(p.partial, line...)
			line = p.partial
		}
		if p.err = p.line(line); p.err != nil {
			return n, false, p.err
		}
		p.partial = p.partial[:0]
	}
	return n, p.done, nil
}

// Reply returns the reply that Parse has completed.
func (p *ReplyParser) Reply() Reply {
	return Reply{Code: p.code, Enhanced: p.enhanced, Text: string(p.text)}
}

// Code returns the code of the reply that Parse has completed, for those who need no more of it.
func (p *ReplyParser) Code() int { return p.code }

// Idle reports whether nothing of a further reply was received.
func (p *ReplyParser) Idle() bool { return p.done || p.lines == 0 && len(p.partial) == 0 }

// line takes one line, which may end with a CR. RFC 5321 4.2: Reply-code [ ( "-" / SP ) text ].
func (p *ReplyParser) line(line []byte) error {
	if len(line) > 0 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1]
	}
	code, ok := replyCode(line)
	if !ok || p.lines > 0 && code != p.code || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return ErrReplySyntax
	}
	if p.lines++; p.lines > maxReplyLines {
		return ErrReplySize
	}
	p.code = code
	p.done = len(line) == 3 || line[3] == ' '
	p.addText(line[min(4, len(line)):])
	return nil
}

func (p *ReplyParser) addText(text []byte) {
	e := enhancedCode(text, byte('0'+p.code/100))
	if p.lines == 1 {
		p.enhanced = internEnhanced(text[:e])
	} else {
		p.text = append(p.text, '\n')
	}
	if e > 0 && string(text[:e]) == p.enhanced { // repeated on each line (RFC 2034 4)
		text = text[e:]
		if len(text) > 0 && text[0] == ' ' {
			text = text[1:]
		}
	}
	p.text = appendClean(p.text, text)
}

func nextLine(data []byte) (line []byte, used int, whole bool) {
	for i, c := range data {
		if c == '\n' {
			return data[:i], i + 1, true
		}
		if i > maxReplyLine {
			return data[:i], i, false
		}
	}
	return data, len(data), false
}

func replyCode(line []byte) (int, bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' {
		return 0, false
	}
	code := 0
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false
		}
		code = code*10 + int(c-'0')
	}
	return code, true
}

// enhancedCode returns the length of class "." 1*3digit "." 1*3digit at the start of text, or 0
// (RFC 2034 4, RFC 3463 2). Its class has to be that of the reply.
func enhancedCode(text []byte, class byte) int {
	if len(text) < 5 || text[0] != class || text[1] != '.' || class == '3' {
		return 0
	}
	i := 2
	for part := range 2 {
		start := i
		for i < len(text) && i-start < 3 && '0' <= text[i] && text[i] <= '9' {
			i++
		}
		if i == start {
			return 0
		}
		if part == 0 {
			if i == len(text) || text[i] != '.' {
				return 0
			}
			i++
		}
	}
	if i < len(text) && text[i] != ' ' {
		return 0
	}
	return i
}

// internEnhanced spares the allocation for the codes that nearly every reply carries.
func internEnhanced(e []byte) string {
	switch string(e) {
	case "":
		return ""
	case "2.0.0":
		return "2.0.0"
	case "2.1.0":
		return "2.1.0"
	case "2.1.5":
		return "2.1.5"
	}
	return string(e)
}
