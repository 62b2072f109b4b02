package smtp

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const hexDigits = "0123456789ABCDEF"

// AppendXText appends s as xtext (RFC 3461 4): all but "+", "=" and printable ASCII becomes "+HH".
func AppendXText(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c > ' ' && c < 0x7f && c != '+' && c != '=' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '+', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}

// DecodeXText reads xtext. Hexadecimal digits may be in lower case, as some clients send them;
// octets beyond ASCII may stand for themselves (RFC 6533 3, utf-8-addr-unitext).
func DecodeXText(s []byte) (string, bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
				return "", false
			}
			b = append(b, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
		case c <= ' ' || c == 0x7f:
			return "", false
		case c == '=':
			// Not xtext, but in the wild in ENVID, where it has only one meaning.
			fallthrough
		default:
			b = append(b, c)
		}
	}
	return string(b), true
}

// decodeEmbeddedUnicode replaces \x{HEX} (RFC 6533 3, EmbeddedUnicodeChar).
func decodeEmbeddedUnicode(s string) (string, bool) {
	before, rest, found := strings.Cut(s, `\x{`)
	if !found {
		return s, true
	}
	var b strings.Builder
	for found {
		b.WriteString(before)
		hex, after, ok := strings.Cut(rest, "}")
		if !ok || len(hex) < 2 || len(hex) > 6 {
			return "", false
		}
		n, err := strconv.ParseUint(hex, 16, 32)
		if err != nil || !utf8.ValidRune(rune(n)) {
			return "", false
		}
		b.WriteRune(rune(n))
		before, rest, found = strings.Cut(after, `\x{`)
	}
	b.WriteString(before)
	return b.String(), true
}

// isPrintable reports whether s, decoded from a peer's words, can stand in a header field: no
// control characters, no line breaks, and well-formed UTF-8.
func isPrintable(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == utf8.RuneError || r > 0x7f && !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
