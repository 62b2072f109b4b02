package message

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"
)

// unknownCharset names octets of which nobody has said what they mean (RFC 1428 3).
const unknownCharset = "unknown-8bit"

// repairHeader ends all lines of a header with CRLF. A CR within a line has no meaning, and ok is
// false.
func repairHeader(head []byte) (_ []byte, ok bool) {
	out := make([]byte, 0, len(head)+16)
	for line := range bytes.Lines(head) {
		text := withoutEnd(line)
		if bytes.IndexByte(text, '\r') >= 0 {
			return nil, false
		}
		out = append(out, text...)
		if len(text) < len(line) {
			out = append(out, '\r', '\n')
		}
	}
	return out, true
}

// appendHeader appends a part's header in 7-bit, with its new encoding.
func (c *Converter) appendHeader(dst []byte, i int, head []byte) (_ []byte, ok bool) {
	plan, part := &c.plan[i], &c.tree.Parts[i]
	encoding, typed, version := plan.name == "", false, false
	for f := range Fields(head) {
		typed = typed || f.Is("Content-Type")
		version = version || f.Is("MIME-Version")
		if plan.name != "" && f.Is("Content-Transfer-Encoding") {
			if !encoding {
				dst = appendEncodingField(dst, plan.name)
			}
			encoding = true // a second one is dropped: readers do not agree on which counts
			continue
		}
		if c.options.EightBit {
			dst = append(dst, f.Raw...)
		} else if dst, ok = appendField(dst, &f); !ok {
			return dst, false
		}
	}
	if part.Issues&NoEmptyLine != 0 {
		return dst, true
	}
	if plan.name != "" && !version && c.root(i) {
		dst = append(dst, "MIME-Version: 1.0\r\n"...)
	}
	if plan.encoded && !typed {
		dst = append(dst, "Content-Type: text/plain; charset="+plan.charset+"\r\n"...)
	}
	if !encoding {
		dst = appendEncodingField(dst, plan.name)
	}
	return append(dst, '\r', '\n'), true
}

func appendEncodingField(dst []byte, name string) []byte {
	return append(dst, "Content-Transfer-Encoding: "+name+"\r\n"...)
}

// root reports whether a part is a message, whose header says MIME-Version (RFC 2045 4).
func (c *Converter) root(i int) bool {
	parent := c.tree.Parts[i].Parent
	return parent < 0 || strings.HasPrefix(c.tree.Parts[parent].Type, "message/")
}

// appendField appends a field in 7-bit. ok is false for one that has no such form.
func appendField(dst []byte, f *Field) (_ []byte, ok bool) {
	if !wide(f.Raw) {
		return append(dst, f.Raw...), true
	}
	if f.Name == nil {
		return dst, false
	}
	switch formOf(f) {
	case parameters:
		return appendParameters(dst, f)
	case phrases:
		return appendWords(dst, f, true)
	case text:
		return appendWords(dst, f, false)
	}
	return dst, false
}

type fieldForm uint8

const (
	text       fieldForm = iota // words as they come (RFC 5322 2.2.1); unknown fields too
	phrases                     // addresses and their display names
	parameters                  // a value with parameters
	fixed                       // identifiers and dates: there is no way to encode them
)

var formsByName = map[string]fieldForm{
	"from": phrases, "sender": phrases, "reply-to": phrases, "to": phrases, "cc": phrases,
	"bcc": phrases, "resent-from": phrases, "resent-sender": phrases, "resent-to": phrases,
	"resent-cc": phrases, "resent-bcc": phrases, "mail-followup-to": phrases,
	"disposition-notification-to": phrases,
	"content-type":                parameters, "content-disposition": parameters,
	"message-id": fixed, "in-reply-to": fixed, "references": fixed, "resent-message-id": fixed,
	"content-id": fixed, "date": fixed, "resent-date": fixed, "return-path": fixed,
	"received": fixed, "mime-version": fixed, "content-transfer-encoding": fixed,
	"delivered-to": fixed,
}

func formOf(f *Field) fieldForm { return formsByName[strings.ToLower(string(f.Name))] }

func charsetOf(s string) string {
	if utf8.ValidString(s) {
		return "utf-8"
	}
	return unknownCharset
}

// appendParameters writes a value with its 8-bit parameters in the form of RFC 2231.
func appendParameters(dst []byte, f *Field) (_ []byte, ok bool) {
	v := ParseValue(f.Value())
	if v.Main == "" || wide(v.Main) {
		return dst, false
	}
	dst = append(append(dst, f.Name...), ": "+v.Main...)
	for i := range v.Params {
		p := &v.Params[i]
		switch {
		case !plainWord(p.Name) || !plainWord(p.Charset) || !plainWord(p.Language):
			return dst, false
		case p.Charset == "" && p.Language == "" && len(p.Value) <= 200 && printable(p.Value):
			quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p.Value)
			dst = append(dst, ";\r\n\t"+p.Name+`="`+quoted+`"`...)
		default:
			dst = appendExtended(dst, p)
		}
	}
	return append(dst, '\r', '\n'), true
}

// plainWord reports whether s may stand in a parameter's name, which says charset and language too
// (RFC 2231 7).
func plainWord(s string) bool {
	return printable(s) && !strings.ContainsAny(s, ` ()<>@,;:\"/[]?=*'%`)
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// appendExtended writes a parameter in pieces (RFC 2231 3, 4).
func appendExtended(dst []byte, p *Param) []byte {
	const perPiece = 150 // octets: at most 450 with their percent signs
	charset := p.Charset
	if charset == "" && wide(p.Value) {
		charset = charsetOf(p.Value)
	}
	prefix := charset + "'" + p.Language + "'"
	for n, rest := 0, p.Value; n == 0 || rest != ""; n++ {
		piece := rest[:min(len(rest), perPiece)]
		rest = rest[len(piece):]
		dst = append(dst, ";\r\n\t"+p.Name...)
		if n > 0 || rest != "" {
			dst = fmt.Appendf(dst, "*%d", n)
		}
		dst = append(dst, "*="+prefix...)
		prefix = ""
		for i := 0; i < len(piece); i++ {
			if c := piece[i]; c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '.' {
				dst = append(dst, c)
			} else {
				dst = fmt.Appendf(dst, "%%%02X", c)
			}
		}
	}
	return dst
}

// wordWriter folds a field's words (RFC 5322 2.2.3).
type wordWriter struct {
	dst    []byte
	column int
	words  int
}

func (w *wordWriter) put(space, word string) {
	const width = 78
	// No line within a field may be white space alone, so none ends right after the name unless
	// the word needs it.
	over := w.column + len(space) + len(word)
	if space != "" && (over > width && w.words > 0 || over > maxLine) {
		w.dst = append(w.dst, '\r', '\n')
		w.column = 0
	}
	w.dst = append(append(w.dst, space...), word...)
	w.column += len(space) + len(word)
	w.words++
}

// encoded writes text as encoded words (RFC 2047 2).
func (w *wordWriter) encoded(space, text string, phrase bool) {
	encoder := mime.QEncoding
	if phrase || 3*wideCount(text) > len(text) {
		encoder = mime.BEncoding // its letters may stand in a phrase (RFC 2047 5)
	}
	for word := range strings.SplitSeq(encoder.Encode(charsetOf(text), text), " ") {
		w.put(space, word)
		space = " "
	}
}

func wideCount(s string) (n int) {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			n++
		}
	}
	return n
}

// appendWords writes a field's value with its 8-bit words encoded. White space between two encoded
// words is lost (RFC 2047 6.2), so neighbours are encoded together. ok is false when an address has
// 8-bit octets.
func appendWords(dst []byte, f *Field, phrase bool) (_ []byte, ok bool) {
	w := &wordWriter{dst: append(append(dst, f.Name...), ':'), column: len(f.Name) + 1}
	t := tokens{rest: string(f.AppendUnfolded(nil)), phrase: phrase}
	space, token := t.next()
	after := false // the last word was an encoded one
	for token != "" {
		if !wide(token) {
			if after && space == "" && !strings.Contains(",;:)", token[:1]) {
				space = " "
			}
			w.put(space, token)
			after = false
			space, token = t.next()
			continue
		}
		if w.words == 0 || space == "" && !bytes.HasSuffix(w.dst, []byte("(")) {
			space = " "
		}
		first, group := space, t.plain(token)
		for space, token = t.next(); wide(token); space, token = t.next() {
			group += space + t.plain(token)
		}
		if t.bad || phrase && space == "" && token != "" && strings.Contains("@.", token[:1]) {
			return dst, false
		}
		w.encoded(first, group, phrase)
		after = true
	}
	return append(w.dst, '\r', '\n'), !t.bad
}

// tokens splits a value at white space, and one with phrases at what ends a word there too.
type tokens struct {
	rest   string
	phrase bool
	depth  int // of comments
	bad    bool
}

func (t *tokens) next() (space, token string) {
	n := 0
	for n < len(t.rest) && isSpace(t.rest[n]) {
		n++
	}
	space, t.rest = t.rest[:n], t.rest[n:]
	n = t.length()
	token, t.rest = t.rest[:n], t.rest[n:]
	return space, token
}

func (t *tokens) length() int {
	if t.rest == "" {
		return 0
	}
	ends := " \t"
	if t.phrase {
		switch c := t.rest[0]; {
		case c == '(':
			t.depth++
			return 1
		case c == ')':
			t.depth = max(0, t.depth-1)
			return 1
		case t.depth > 0:
		case c == '"':
			return t.quoted()
		case c == '<':
			if n := strings.IndexByte(t.rest, '>'); n >= 0 {
				return n + 1
			}
			return len(t.rest)
		case strings.IndexByte(",;:", c) >= 0:
			return 1
		}
		if ends = " \t(),;:<\""; t.depth > 0 {
			ends = " \t()"
		}
	}
	if n := strings.IndexAny(t.rest, ends); n >= 0 {
		return n
	}
	return len(t.rest)
}

// quoted returns the length of the quoted string that is next.
func (t *tokens) quoted() int {
	for i := 1; i < len(t.rest); i++ {
		switch t.rest[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(t.rest)
}

// plain returns the text of an 8-bit word. An address has none.
func (t *tokens) plain(token string) string {
	if !t.phrase || t.depth > 0 {
		return token
	}
	if token[0] == '<' || token[0] != '"' && strings.IndexByte(token, '@') >= 0 {
		t.bad = true
		return token
	}
	if token[0] != '"' {
		return token
	}
	var b strings.Builder
	for i := 1; i < len(token); i++ {
		switch {
		case token[i] == '\\' && i+1 < len(token):
			i++
		case token[i] == '"':
			continue
		}
		b.WriteByte(token[i])
	}
	return b.String()
}
