package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The types of keys in records, k= (RFC 6376 3.6.1, RFC 8463 4).
const (
	KeyRSA     = "rsa"
	KeyEd25519 = "ed25519"
)

// Record is what DNS says of a public key (RFC 6376 3.6.1).
type Record struct {
	Type   string           // k=, KeyRSA or KeyEd25519
	Key    crypto.PublicKey // an *rsa.PublicKey or an ed25519.PublicKey; nil: revoked, an empty p=
	Hashes []string         // h=, the hashes that may be used; nil: all
	// Services are s=; nil: all. A key that is not for mail names neither * nor email.
	Services []string
	Testing  bool   // t=y: the domain tries DKIM out
	Strict   bool   // t=s: the domain of i= is the one of d=, not a subdomain
	Notes    string // n=, for people, as it is written
}

// maxRecord bounds the octets of a record that is read. One with an RSA key of 16,384 bits has some
// 2,800.
const maxRecord = 8192

// ErrNoRecord says that a text is no key record at all, such as an SPF record at the same name.
var ErrNoRecord = errors.New("this is not the record of a DKIM key")

// RecordName returns where in DNS the record of a key is, without a final dot.
func RecordName(selector, domain string) string { return selector + "._domainkey." + domain }

// RecordOf returns the record of a public key.
func RecordOf(public crypto.PublicKey) (Record, error) {
	switch public.(type) {
	case *rsa.PublicKey:
		return Record{Type: KeyRSA, Key: public}, nil
	case ed25519.PublicKey:
		return Record{Type: KeyEd25519, Key: public}, nil
	}
	return Record{}, fmt.Errorf("a key of type %T cannot verify mail", public)
}

// Revoked reports whether the key is withdrawn: what it signed does not verify any more.
func (r Record) Revoked() bool { return r.Key == nil }

// ForMail reports whether the key verifies mail with SHA-256.
func (r Record) ForMail() bool {
	return (r.Hashes == nil || slices.Contains(r.Hashes, "sha256")) && (r.Services == nil ||
		slices.Contains(r.Services, "*") || slices.Contains(r.Services, "email"))
}

// IsOf reports whether the record verifies mail that is signed with the private half of public.
func (r Record) IsOf(public crypto.PublicKey) bool {
	key, ok := public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && r.Key != nil && r.ForMail() && key.Equal(r.Key)
}

// Text returns the record as one text, its strings joined.
func (r Record) Text() string {
	var b strings.Builder
	b.WriteString("v=DKIM1; k=" + r.Type)
	for _, list := range []struct {
		tag    string
		values []string
	}{{"h", r.Hashes}, {"s", r.Services}, {"t", r.flags()}} {
		if list.values != nil { // none is not the same as all
			b.WriteString("; " + list.tag + "=" + strings.Join(list.values, ":"))
		}
	}
	if r.Notes != "" {
		b.WriteString("; n=" + r.Notes)
	}
	b.WriteString("; p=" + r.data())
	return b.String()
}

func (r Record) flags() (flags []string) {
	if r.Testing {
		flags = append(flags, "y")
	}
	if r.Strict {
		flags = append(flags, "s")
	}
	return flags
}

// data returns the value of p=.
func (r Record) data() string {
	switch key := r.Key.(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			panic(fmt.Sprintf("an RSA key that has no DER: %v", err))
		}
		return base64.StdEncoding.EncodeToString(der)
	case ed25519.PublicKey:
		return base64.StdEncoding.EncodeToString(key)
	}
	return ""
}

// maxString bounds the octets of one string of a TXT record (RFC 1035 3.3.14).
const maxString = 255

// Strings returns the record as the strings of a TXT record.
func (r Record) Strings() (list []string) {
	for s := range slices.Chunk([]byte(r.Text()), maxString) {
		list = append(list, string(s))
	}
	return list
}

// Zone returns the record as a line of a zone file (RFC 1035 5.1). name is its full name without a
// final dot.
func (r Record) Zone(name string) string {
	var b strings.Builder
	b.WriteString(name + ". IN TXT (")
	for _, s := range r.Strings() {
		b.WriteString(` "`)
		for i := range len(s) {
			switch c := s[i]; {
			case c == '"' || c == '\\':
				b.WriteString(`\` + string(rune(c)))
			case c < ' ' || c > '~':
				fmt.Fprintf(&b, `\%03d`, c)
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('"')
	}
	b.WriteString(" )")
	return b.String()
}
