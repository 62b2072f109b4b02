package smtp

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of a path, in octets. RFC 5321 4.5.3.1 sets minimums; for the local part we are wider,
// because variable envelope return paths go beyond its 64.
const (
	maxLocalPart = 255
	maxDomain    = 255
	maxLabel     = 63
	maxPath      = 1000
)

// path is what <...> held.
type path struct {
	address string // without brackets and source route; "" is the null path
	// routing domain, a lower-case A-label name or an address literal; "" without a domain
	domain   string
	nonASCII bool
}

// complete gives a local part that stands alone a domain in its routing form.
func (p *path) complete(domain string) {
	if p.address != "" && p.domain == "" && domain != "" {
		p.address, p.domain = p.address+"@"+domain, domain
	}
}

// parsePath reads "<" [ A-d-l ":" ] Mailbox ">" at the start of s (RFC 5321 4.1.2) and returns what
// follows it. A local part alone is allowed; the caller decides whether it will do. The reason for
// a refusal is a sentence's end.
//
// More than the grammar is taken, where it has one meaning and is met: a mailbox without brackets
// up to the next space, dots of a local part wherever they are (mobile carriers have given such
// addresses to millions), and a final dot of the domain.
func parsePath(s []byte) (p path, rest []byte, why string) {
	if len(s) == 0 {
		return p, nil, "there is none"
	}
	if s[0] != '<' {
		return parseBare(s)
	}
	s = s[1:]
	if s, why = skipRoute(s); why != "" {
		return p, nil, why
	}
	if len(s) > 0 && s[0] == '>' {
		return p, s[1:], ""
	}
	local := localPart(s)
	switch {
	case local <= 0:
		return p, nil, "the local part is malformed"
	case local > maxLocalPart:
		return p, nil, "the local part is too long"
	}
	end := local
	if end < len(s) && s[end] == '@' {
		n := bytes.IndexByte(s[end:], '>')
		if n < 0 {
			return p, nil, "the closing bracket is missing"
		}
		end += n
	}
	if end >= len(s) || s[end] != '>' {
		return p, nil, "the address has something after its local part that does not belong there"
	}
	if end > maxPath {
		return p, nil, "the address is too long"
	}
	if !utf8.Valid(s[:end]) {
		return p, nil, "the address is not well-formed UTF-8"
	}
	p.address = string(s[:end])
	p.nonASCII = !IsASCII(p.address)
	if end > local {
		var err error
		p.address = strings.TrimSuffix(p.address, ".")
		if p.domain, err = Domain(p.address[local+1:]); err != nil {
			return p, nil, err.Error()
		}
	}
	return p, s[end+1:], ""
}

// parseBare reads a mailbox that is not in brackets, up to the next space.
func parseBare(s []byte) (p path, rest []byte, why string) {
	local := localPart(s)
	if local <= 0 || local == len(s) || s[local] != '@' {
		return p, nil, "the address is not in angle brackets"
	}
	end := len(s)
	if i := bytes.IndexByte(s[local:], ' '); i >= 0 {
		end = local + i
	}
	p, after, why := parsePath(slices.Concat([]byte("<"), s[:end], []byte(">")))
	if why == "" && len(after) > 0 {
		why = "the address is not in angle brackets"
	}
	return p, s[end:], why
}

// skipRoute drops a source route, which is obsolete: it MUST be accepted and SHOULD be ignored (RFC
// 5321 appendix C, F.2).
func skipRoute(s []byte) (rest []byte, why string) {
	if len(s) == 0 || s[0] != '@' {
		return s, ""
	}
	colon := bytes.IndexByte(s, ':')
	// a literal has colons of its own
	if bracket := bytes.LastIndex(s[:max(colon, 0)], []byte("[IPv6")); bracket >= 0 {
		colon = bytes.Index(s, []byte("]:")) + 1
	}
	if colon <= 0 || colon > maxPath {
		return nil, "the source route is malformed"
	}
	for hop := range strings.SplitSeq(string(s[:colon]), ",") {
		if len(hop) < 2 || hop[0] != '@' {
			return nil, "the source route is malformed"
		}
		if _, err := Domain(hop[1:]); err != nil {
			return nil, "the source route is malformed"
		}
	}
	return s[colon+1:], ""
}

// localPart returns the length of the Dot-string or Quoted-string at the start of s, or 0.
func localPart(s []byte) int {
	if len(s) > 0 && s[0] == '"' {
		return quotedString(s)
	}
	for i, c := range s {
		if !isAtext(c) && c != '.' {
			return i
		}
	}
	return 0 // a path ends with ">", not with the line
}

// IsDotString reports whether a local part is one as RFC 5321 4.1.2 has it: atoms, a dot between
// two.
func IsDotString(local string) bool {
	dot := true // before s[i]
	for i := range len(local) {
		c := local[i]
		if c == '.' && dot || c != '.' && !isAtext(c) {
			return false
		}
		dot = c == '.'
	}
	return !dot
}

// quotedString returns the length of a Quoted-string, quotes included. An empty one is refused: it
// names nobody, and it has been a crash elsewhere (CVE-2020-10967).
func quotedString(s []byte) int {
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			if i == 1 {
				return 0
			}
			return i + 1
		case c == '\\': // quoted-pairSMTP: any printable ASCII
			if i++; i == len(s) || s[i] < ' ' || s[i] > '~' {
				return 0
			}
		case c < ' ' || c == 0x7f:
			return 0
		}
	}
	return 0
}

var atext = func() (t [256]bool) {
	for c := 0; c < 256; c++ {
		t[c] = isAlnum(byte(c)) || c >= 0x80 || strings.IndexByte("!#$%&'*+-/=?^_`{|}~",
			byte(c)) >= 0
	}
	return
}()

// isAtext reports whether c is atext of RFC 5322 3.2.3, or part of a character beyond ASCII (RFC
// 6531 3.3).
func isAtext(c byte) bool { return atext[c] }

// UnquoteLocal returns the meaning of a local part: without quotes and backslashes when it is a
// quoted string.
func UnquoteLocal(local string) string {
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local
	}
	b := make([]byte, 0, len(local))
	for i := 1; i < len(local)-1; i++ {
		if local[i] == '\\' && i+1 < len(local)-1 {
			i++
		}
		b = append(b, local[i])
	}
	return string(b)
}

type domainError string

func (e domainError) Error() string { return string(e) }

const (
	errDomainSyntax  = domainError("the domain is not a host name")
	errDomainLength  = domainError("the domain, or a label of it, is too long")
	errDomainLiteral = domainError("the address literal is not [IPv4] or [IPv6:address]")
	errDomainIDNA    = domainError("the domain is not a valid internationalized name")
)

// Domain returns the routing form of a domain as it is written in an address: lower-case A-labels
// (RFC 5890), or an address
// literal in its brackets (RFC 5321 4.1.3). A lower-case ASCII name is returned as it is, without
// allocation.
func Domain(raw string) (string, error) {
	if len(raw) == 0 {
		return "", errDomainSyntax
	}
	if raw[0] == '[' {
		return addressLiteral(raw)
	}
	kind, err := checkName(raw)
	if err != nil {
		return "", err
	}
	switch kind {
	case plainName:
		return raw, nil
	case upperName:
		raw = strings.ToLower(raw)
		if !strings.Contains(raw, "xn--") {
			return raw, nil
		}
	}
	if len(raw) > 4*maxDomain {
		return "", errDomainLength
	}
	ascii, err := idna.Lookup.ToASCII(raw)
	if err != nil {
		return "", errDomainIDNA
	}
	// The mapping can bring forth dots and other octets that the original did not show.
	if kind, err = checkName(ascii); err != nil || kind == upperName || !IsASCII(ascii) {
		return "", errDomainIDNA
	}
	if len(ascii) > maxDomain || longestLabel(ascii) > maxLabel {
		return "", errDomainLength
	}
	return ascii, nil
}

// DomainPattern returns a pattern of domains, in which * stands for any octets, in the form of
// Domain: each label beyond ASCII as an A-label. What is no label stays as it is.
func DomainPattern(pattern string) string {
	pattern = strings.ToLower(pattern)
	if IsASCII(pattern) {
		return pattern
	}
	labels := strings.Split(pattern, ".")
	for i, label := range labels {
		if IsASCII(label) {
			continue
		}
		if ascii, err := Domain(label); err == nil {
			labels[i] = ascii
		}
	}
	return strings.Join(labels, ".")
}

// AddressPattern does the same with the domain of a pattern of addresses.
func AddressPattern(pattern string) string {
	at := strings.LastIndexByte(pattern, '@')
	if at < 0 {
		return strings.ToLower(pattern)
	}
	return strings.ToLower(pattern[:at+1]) + DomainPattern(pattern[at+1:])
}

func longestLabel(s string) (longest int) {
	for label := range strings.SplitSeq(s, ".") {
		longest = max(longest, len(label))
	}
	return longest
}

type nameKind uint8

const (
	plainName nameKind = iota // lower-case letters, digits, hyphens
	upperName                 // the same with upper-case letters
	idnName                   // A-labels or U-labels
)

// checkName checks the syntax of a domain name: sub-domain *("." sub-domain), each Let-dig
// [Ldh-str], where "_" counts as a letter: hosts have it in their names, and the DNS allows it (RFC
// 2181 11). Labels with octets beyond ASCII are left to IDNA.
func checkName(s string) (kind nameKind, err error) {
	label, previous := 0, byte('.') // octets of the present label
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_':
		case 'A' <= c && c <= 'Z':
			kind = max(kind, upperName)
		case c >= 0x80:
			kind = idnName
		case c == '-':
			if label == 0 {
				return 0, errDomainSyntax
			}
			if label == 3 && previous == '-' && (s[i-3]|0x20) == 'x' && (s[i-2]|0x20) == 'n' {
				kind = idnName
			}
		case c == '.':
			if label == 0 || previous == '-' {
				return 0, errDomainSyntax
			}
			label, previous = 0, c
			continue
		default:
			return 0, errDomainSyntax
		}
		label++
		previous = c
		if label > maxLabel && kind != idnName {
			return 0, errDomainLength
		}
	}
	if label == 0 || previous == '-' {
		return 0, errDomainSyntax
	}
	if len(s) > maxDomain && kind != idnName {
		return 0, errDomainLength
	}
	return kind, nil
}

// addressLiteral returns the canonical form of [1.2.3.4] or [IPv6:2001:db8::1], so that one host
// has one spelling.
func addressLiteral(raw string) (string, error) {
	if len(raw) < 3 || len(raw) > 64 || raw[len(raw)-1] != ']' {
		return "", errDomainLiteral
	}
	text := raw[1 : len(raw)-1]
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		ip, err := netip.ParseAddr(text[5:])
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", errDomainLiteral
		}
		return "[IPv6:" + ip.String() + "]", nil
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || !ip.Is4() {
		return "", errDomainLiteral
	}
	return raw, nil
}

// Typed is a mail address with its type in front, as ORCPT and reports have it (RFC 3461 4.2, RFC
// 6533 3).
func Typed(address string) string {
	if IsASCII(address) {
		return "rfc822;" + address
	}
	return "utf-8;" + address
}

// IsASCII reports whether s has no octet above 127.
func IsASCII[S string | []byte](s S) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
