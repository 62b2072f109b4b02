package message

import (
	"bytes"
	"strconv"
	"strings"
)

// StructuredValue is a value with parameters, such as that of Content-Type or Content-Disposition
// (RFC 2045 5.1, RFC 2183 2).
type StructuredValue struct {
	Main   string // lower case: "text/plain", "attachment"; "" when there is none
	Params []Param
}

// Param is one parameter, put together of its parts (RFC 2231).
type Param struct {
	Name              string // lower case
	Value             string // raw octets, quotes and percent signs undone
	Charset, Language string // as RFC 2231 has them; "" when it was not used
}

// maxParams bounds the parameters that are read, and the parts of them.
const maxParams = 128

// Param returns the value of a parameter by its name in lower case, and whether there is one.
func (v *StructuredValue) Param(name string) (string, bool) {
	for i := range v.Params {
		if v.Params[i].Name == name {
			return v.Params[i].Value, true
		}
	}
	return "", false
}

// ParseValue reads a raw field value. Comments and line ends are dropped, values without quotes go
// as far as a semicolon, what cannot be understood is left out, and of two parameters with one name
// the first counts. A value in the form of RFC 2231 counts before a plain one (as RFC 6266 4.3 has
// it).
func ParseValue(raw []byte) StructuredValue {
	p := valueParser{raw}
	v := StructuredValue{Main: p.main()}
	var parts [8]paramPart
	list := parts[:0]
	for len(list) < maxParams {
		part, ok := p.param()
		if !ok {
			break
		}
		list = append(list, part)
	}
	for i := range list {
		if list[i].name != "" {
			if param, ok := join(list[i].name, list[i:]); ok {
				v.Params = append(v.Params, param)
			}
		}
	}
	return v
}

// paramPart is a parameter as it stands: name*section*=value.
type paramPart struct {
	name     string // "" when it was used
	section  int    // -1 when the name has none
	extended bool   // the value may have percent signs and a charset
	value    []byte
}

// join puts the parameter together whose parts are in list, and marks them as used.
func join(name string, list []paramPart) (p Param, ok bool) {
	p.Name = name
	var plain, extended *paramPart
	var sections [maxParams]*paramPart
	for i := range list {
		part := &list[i]
		if part.name != name {
			continue
		}
		part.name = ""
		slot := &plain
		switch {
		case part.section >= 0:
			slot = &sections[part.section]
		case part.extended:
			slot = &extended
		}
		if *slot == nil {
			*slot = part
		}
	}
	switch {
	case extended != nil:
		p.Value = string(p.decode(extended.value))
	case sections[0] != nil:
		var value []byte
		for i, part := range sections {
			switch {
			case part == nil:
				p.Value = string(value)
				return p, true
			case !part.extended:
				value = append(value, part.value...)
			case i == 0:
				value = append(value, p.decode(part.value)...)
			default:
				value = append(value, percent(part.value)...)
			}
		}
		p.Value = string(value)
	case plain != nil:
		p.Value = string(plain.value)
	default: // sections without the first one
		return p, false
	}
	return p, true
}

// decode reads charset'language'value.
func (p *Param) decode(value []byte) []byte {
	if charset, rest, ok := bytes.Cut(value, []byte{'\''}); ok {
		if language, rest, ok := bytes.Cut(rest, []byte{'\''}); ok {
			p.Charset, p.Language = strings.ToLower(string(charset)), string(language)
			value = rest
		}
	}
	return percent(value)
}

// percent undoes percent signs; one without two hexadecimal digits stays.
func percent(value []byte) []byte {
	if bytes.IndexByte(value, '%') < 0 {
		return value
	}
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		if value[i] == '%' && i+2 < len(value) {
			if c, err := strconv.ParseUint(string(value[i+1:i+3]), 16, 8); err == nil {
				out = append(out, byte(c))
				i += 2
				continue
			}
		}
		out = append(out, value[i])
	}
	return out
}

// valueParser takes a value apart from its front.
type valueParser struct{ rest []byte }

// main reads what comes before the parameters: a token, or two with a slash.
func (p *valueParser) main() string {
	p.space()
	main := p.token()
	p.space()
	if len(main) == 0 || len(p.rest) == 0 || p.rest[0] != '/' {
		return lower(main)
	}
	p.rest = p.rest[1:]
	p.space()
	return lower(main) + "/" + lower(p.token())
}

// param reads the next parameter.
func (p *valueParser) param() (part paramPart, ok bool) {
	for {
		p.space()
		if len(p.rest) == 0 {
			return part, false
		}
		name := p.token()
		p.space()
		if len(name) == 0 || len(p.rest) == 0 || p.rest[0] != '=' {
			if len(name) == 0 {
				p.rest = p.rest[1:] // a semicolon, or something out of place
			}
			continue
		}
		p.rest = p.rest[1:]
		p.space()
		value := p.value()
		if part.named(name) {
			part.value = value
			return part, true
		}
	}
}

// named takes a parameter's name apart (RFC 2231 3 and 4).
func (part *paramPart) named(name []byte) bool {
	base, rest, star := bytes.Cut(name, []byte{'*'})
	*part = paramPart{name: lower(base), section: -1}
	if star {
		digits, extended := bytes.CutSuffix(rest, []byte{'*'})
		part.extended = extended || len(rest) == 0
		if len(digits) > 0 {
			n, err := strconv.ParseUint(string(digits), 10, 16)
			if err != nil || n >= maxParams {
				return false
			}
			part.section = int(n)
		}
	}
	return len(base) > 0
}

// token reads up to white space or one of the octets that part tokens here.
func (p *valueParser) token() []byte {
	n := 0
	for n < len(p.rest) && !strings.ContainsRune(" \t\r\n();=/\"", rune(p.rest[n])) {
		n++
	}
	token := p.rest[:n]
	p.rest = p.rest[n:]
	return token
}

// value reads a quoted string, or what goes as far as a semicolon, a line end or a comment.
func (p *valueParser) value() []byte {
	if len(p.rest) > 0 && p.rest[0] == '"' {
		return p.quoted()
	}
	n := 0
	for n < len(p.rest) && p.rest[n] != ';' && p.rest[n] != '\r' && p.rest[n] != '\n' &&
		!(p.rest[n] == '(' && n > 0 && isSpace(p.rest[n-1])) {
		n++
	}
	value := bytes.TrimRight(p.rest[:n], " \t")
	p.rest = p.rest[n:]
	return value
}

// quoted reads a quoted string, perhaps without its end.
func (p *valueParser) quoted() (value []byte) {
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			return value
		case '\r', '\n':
			continue
		case '\\':
			if i++; i == len(p.rest) {
				continue
			}
		}
		value = append(value, p.rest[i])
	}
	p.rest = nil
	return value
}

// space skips white space, line ends and comments (RFC 5322 3.2.2).
func (p *valueParser) space() {
	depth := 0
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '\\' && depth > 0:
			i++
		case depth == 0 && !isSpace(c) && c != '\r' && c != '\n':
			p.rest = p.rest[i:]
			return
		}
	}
	p.rest = nil
}

// lower returns b with ASCII letters in lower case, without a copy for what is common.
func lower(b []byte) string {
	for _, word := range [...]string{"text", "plain", "html", "multipart", "mixed", "alternative",
		"charset", "boundary", "application", "image"} {
		if Is(b, word) {
			return word
		}
	}
	out := make([]byte, len(b))
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		out[i] = c
	}
	return string(out)
}
