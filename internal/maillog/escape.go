package maillog

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// appendClean appends s to a line so that it cannot end the line, steer a terminal or show itself
// in another order than it has: control characters, format characters such as those of
// right-to-left text (Unicode's Cf), all other characters that nobody sees, and what is not UTF-8
// become "?". More than max octets are cut.
func appendClean(b []byte, s string, max int) []byte {
	cut := len(s) > max
	if cut {
		s = s[:max]
	}
	for i := 0; i < len(s); {
		if run := plainPrefix(s[i:]); run > 0 { // nearly always all of it
			b = append(b, s[i:i+run]...)
			i += run
			continue
		}
		if s[i] < utf8.RuneSelf {
			b = append(b, '?')
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			b = append(b, '?')
		} else {
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	if cut {
		b = append(b, "..."...)
	}
	return b
}

// plainPrefix returns how many octets at the front of s are printable ASCII.
func plainPrefix(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i]-' ' >= 0x7f-' ' {
			return i
		}
	}
	return len(s)
}

// appendJSON appends s as a JSON string, cut and cleaned like the text of a line.
func appendJSON(b []byte, s string, max int) []byte {
	b = append(b, '"')
	from := len(b)
	b = appendClean(b, s, max)
	return append(escapeFrom(b, from), '"')
}

var quote, backslash = []byte{'"'}, []byte{'\\'}

// escapeFrom escapes quotes and backslashes, all that clean text still needs to be a JSON string,
// in place.
func escapeFrom(b []byte, from int) []byte {
	n := bytes.Count(b[from:], quote) + bytes.Count(b[from:], backslash)
	if n == 0 {
		return b
	}
	old := len(b)
	for range n {
		b = append(b, 0)
	}
	// from the end, so that nothing is overwritten before it was moved
	for i, j := old-1, len(b)-1; i >= from; i-- {
		b[j] = b[i]
		j--
		if b[i] == '"' || b[i] == '\\' {
			b[j] = '\\'
			j--
		}
	}
	return b
}
