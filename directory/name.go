package directory

import (
	"strings"

	"github.com/postroad/postroad/internal/smtp"
	"golang.org/x/text/unicode/norm"
)

const maxName = 320 // octets: a local part of 64, "@", a domain of 255 (RFC 5321 4.5.3.1)

// Canonical returns the form in which a user's name, or a sender's address, is stored and compared:
// in lower case and NFC, the domain in A-labels. RFC 5321 2.4 leaves the case of a local part to
// its own host; for log-in names that is us. A quoted local part that needs no quotes is the same
// address without them (RFC 5321 4.1.2); no name here needs them.
func Canonical(address string) (string, error) {
	if len(address) > maxName {
		return "", wrongf("%.40q...: an address has at most %d octets", address, maxName)
	}
	if canonicalASCII(address) {
		return address, nil
	}
	at := strings.LastIndexByte(address, '@')
	if at < 1 {
		return "", wrongf("%q is not an address of the form user@domain", address)
	}
	local := norm.NFC.String(strings.ToLower(smtp.UnquoteLocal(address[:at])))
	domain, err := smtp.Domain(address[at+1:])
	if err != nil {
		return "", wrongf("%q: %v", address, err)
	}
	return checked(local + "@" + domain)
}

// checked lets the grammar of a path decide.
func checked(address string) (string, error) {
	r, f := smtp.ParseRcpt([]byte("TO:<"+address+">"), smtp.Extensions{SMTPUTF8: true})
	if f != nil || r.Address != address ||
		!smtp.IsDotString(address[:len(address)-len(r.Domain)-1]) {
		return "", wrongf("%q is not an address of the form user@domain", address)
	}
	return address, nil
}

// canonicalASCII finds the common case without work: lower-case letters, digits, dots and hyphens
// around one "@".
func canonicalASCII(address string) bool {
	at := 0
	previous := byte('.')
	for i := 0; i < len(address); i++ {
		c := address[i]
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
		case c == '@' && i > 0 && previous != '.' && previous != '-':
			at++
			c = '.'
		case (c == '.' || c == '-') && previous != '.' && previous != '-':
		default:
			return false
		}
		previous = c
	}
	return at == 1 && previous != '.' && previous != '-' && len(address) <= 64
}

// CanonicalSender is Canonical, and takes "@domain" for all addresses of a domain, too.
func CanonicalSender(sender string) (string, error) {
	if !strings.HasPrefix(sender, "@") {
		return Canonical(sender)
	}
	domain, err := smtp.Domain(sender[1:])
	if err != nil {
		return "", wrongf("%q: %v", sender, err)
	}
	return "@" + domain, nil
}
