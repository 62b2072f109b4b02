package smtp

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// Verb is a command's name. Its zero value is a verb that nobody knows.
type Verb uint8

const (
	Unknown   Verb = iota // answer 500 5.5.1
	Malformed             // control octets or broken UTF-8 in the line: answer 501 5.5.2
	Foreign               // another protocol (HTTP, TLS, SSH) talks to us: close
	Helo
	Ehlo
	Lhlo
	Mail
	Rcpt
	Data
	Bdat
	Rset
	Noop
	Vrfy
	Expn
	Help
	Quit
	StartTLS
	Auth
	verbs
)

var verbNames = [verbs]string{"UNKNOWN", "MALFORMED", "FOREIGN", "HELO", "EHLO", "LHLO", "MAIL",
	"RCPT", "DATA", "BDAT", "RSET",
	"NOOP", "VRFY", "EXPN", "HELP", "QUIT", "STARTTLS", "AUTH"}

// String returns the verb as RFC 5321 writes it.
func (v Verb) String() string {
	if v < verbs {
		return verbNames[v]
	}
	return verbNames[Unknown]
}

// ParseCommand splits a command line, given without its CRLF, into verb and arguments. args is a
// part of line, without the space between them and without trailing white space (RFC 5321 4.1.1:
// servers tolerate it).
func ParseCommand(line []byte) (verb Verb, args []byte) {
	if !wellFormed(line) {
		// a TLS record: handshake, version 3.x
		if len(line) > 2 && line[0] == 0x16 && line[1] == 3 {
			return Foreign, nil
		}
		// a host may have any name (ParseHelo)
		switch verb, args = split(line); verb {
		case Helo, Ehlo, Lhlo:
			if !controls(line) {
				return verb, args
			}
		}
		return Malformed, nil
	}
	return split(line)
}

func split(line []byte) (verb Verb, args []byte) {
	name := line
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		name, args = line[:i], bytes.Trim(line[i:], " ")
	}
	return lookup(name), args
}

func lookup(name []byte) Verb {
	switch len(name) {
	case 4:
		switch uint32(upper(name[0]))<<24 | uint32(upper(name[1]))<<16 |
			uint32(upper(name[2]))<<8 | uint32(upper(name[3])) {
		case 'H'<<24 | 'E'<<16 | 'L'<<8 | 'O':
			return Helo
		case 'E'<<24 | 'H'<<16 | 'L'<<8 | 'O':
			return Ehlo
		case 'L'<<24 | 'H'<<16 | 'L'<<8 | 'O':
			return Lhlo
		case 'M'<<24 | 'A'<<16 | 'I'<<8 | 'L':
			return Mail
		case 'R'<<24 | 'C'<<16 | 'P'<<8 | 'T':
			return Rcpt
		case 'D'<<24 | 'A'<<16 | 'T'<<8 | 'A':
			return Data
		case 'B'<<24 | 'D'<<16 | 'A'<<8 | 'T':
			return Bdat
		case 'R'<<24 | 'S'<<16 | 'E'<<8 | 'T':
			return Rset
		case 'N'<<24 | 'O'<<16 | 'O'<<8 | 'P':
			return Noop
		case 'V'<<24 | 'R'<<16 | 'F'<<8 | 'Y':
			return Vrfy
		case 'E'<<24 | 'X'<<16 | 'P'<<8 | 'N':
			return Expn
		case 'H'<<24 | 'E'<<16 | 'L'<<8 | 'P':
			return Help
		case 'Q'<<24 | 'U'<<16 | 'I'<<8 | 'T':
			return Quit
		case 'A'<<24 | 'U'<<16 | 'T'<<8 | 'H':
			return Auth
		}
	case 8:
		if equalFold(name, "STARTTLS") {
			return StartTLS
		}
	}
	return foreign(name)
}

// foreign finds the verbs of protocols that are abused to send mail through a browser or a proxy.
func foreign(name []byte) Verb {
	for _, f := range [...]string{"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "PATCH",
		"TRACE", "PRI"} {
		if equalFold(name, f) {
			return Foreign
		}
	}
	if bytes.HasPrefix(name, []byte("SSH-")) {
		return Foreign
	}
	return Unknown
}

// ParseHelo reads the argument of HELO, EHLO or LHLO: a domain or an address literal (RFC 5321
// 4.1.1.1). Clients get this wrong in many harmless ways (underscores, bare addresses, "(null)",
// nothing at all), so whatever is short enough will do. What would be unsafe in a Received field
// becomes "?".
func ParseHelo(args []byte) (string, *Failure) {
	if len(args) > maxDomain {
		return "", Perm(SyntaxError, "5.5.4", "Say your host name: EHLO host.example")
	}
	name := string(args)
	for i, c := range args {
		if !isAlnum(c) && bytes.IndexByte([]byte("-._:[]"), c) < 0 {
			b := []byte(name)
			b[i] = '?'
			name = string(b)
		}
	}
	return name, nil
}

// ParseBdat parses the arguments of BDAT: chunk-size [SP "LAST"] (RFC 3030 2).
func ParseBdat(args []byte) (size int64, last bool, f *Failure) {
	number, rest, more := bytes.Cut(args, []byte{' '})
	size, ok := parseNumber(number)
	if !ok || more && !equalFold(rest, "LAST") {
		return 0, false,
			Perm(SyntaxError, "5.5.4",
				"Say BDAT size or BDAT size LAST, with the size in decimal octets")
	}
	return size, more, nil
}

// ParseAuth splits the arguments of AUTH: mechanism [SP initial-response] (RFC 4954 4). A nil
// initial means that there was none; "=" stands for an empty one.
func ParseAuth(args []byte) (mechanism string, initial []byte, f *Failure) {
	name, rest, more := bytes.Cut(args, []byte{' '})
	if len(name) == 0 || len(name) > 20 || more &&
		(len(rest) == 0 || bytes.IndexByte(rest, ' ') >= 0) {
		return "", nil,
			Perm(SyntaxError, "5.5.4", "Say AUTH mechanism, or AUTH mechanism initial-response")
	}
	if !more {
		rest = nil
	} else if string(rest) == "=" {
		rest = []byte{}
	}
	return string(bytes.ToUpper(name)), rest, nil
}

// parseNumber reads 1 to 20 digits. It reports false for anything else and for what does not fit
// into an int64.
func parseNumber(s []byte) (int64, bool) {
	if len(s) == 0 || len(s) > 20 {
		return 0, false
	}
	var n int64
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// wellFormed reports whether line holds neither control octets nor malformed UTF-8.
func wellFormed(line []byte) bool {
	return !controls(line) && (IsASCII(line) || utf8.Valid(line) && !hasC1(line))
}

// controls reports whether line holds control octets of ASCII.
func controls(line []byte) bool {
	for _, c := range line {
		if c < ' ' || c == 0x7f {
			return true
		}
	}
	return false
}

// hasC1 finds U+0080 to U+009F, the control characters above ASCII: C2 80 to C2 9F.
func hasC1(s []byte) bool {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == 0xc2 && s[i+1] < 0xa0 {
			return true
		}
	}
	return false
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// equalFold reports whether s is word, which is in upper case, in any ASCII case.
func equalFold(s []byte, word string) bool {
	if len(s) != len(word) {
		return false
	}
	for i, c := range s {
		if upper(c) != word[i] {
			return false
		}
	}
	return true
}
