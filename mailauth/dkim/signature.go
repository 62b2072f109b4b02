package dkim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/message"
	"github.com/postroad/postroad/internal/smtp"
)

// Options say who signs and what a signature covers.
type Options struct {
	Domain   string // d=: whose signature it is; U-labels become A-labels
	Selector string // s=: the public key is in DNS at selector._domainkey.domain
	// Identity is i=: an address of Domain or a subdomain of it, with or without what is before
	// the @. "" means no i= tag.
	Identity string
	// Header and Body are c=.
	Header, Body Canon
	// Fields are the fields that are covered. nil means DefaultFields. From is always covered and
	// over-signed.
	Fields []Field
	// Expires is how long after signing the signature is valid, x=. 0 means no x= tag.
	Expires time.Duration
}

// maxNames bounds Options.Fields.
const maxNames = 100

// Signature is a key with what its signatures cover. It is immutable, and any number of goroutines
// may sign with it at once.
type Signature struct {
	signer  Signer
	options Options
	start   []string // the tags before t=
	fields  []Field
}

// NewSignature checks options and returns what Sign takes.
func NewSignature(options Options, signer Signer) (*Signature, error) {
	s := &Signature{signer: signer}
	domain, err := smtp.Domain(options.Domain)
	if err != nil || strings.HasPrefix(domain, "[") {
		return nil, fmt.Errorf("%q is not a domain that can sign mail: give a host name",
			options.Domain)
	}
	options.Domain = strings.TrimSuffix(domain, ".")
	if options.Selector, err = selector(options.Selector); err != nil {
		return nil, err
	}
	if n := len(options.Selector) + len("._domainkey.") + len(options.Domain); n > 253 {
		return nil, fmt.Errorf("the name of the key in DNS would have %d octets, more than 253: "+
			"take a shorter selector", n)
	}
	if options.Header > Simple || options.Body > Simple {
		return nil, errors.New("the canonical forms are Relaxed and Simple")
	}
	if options.Expires < 0 || options.Expires > 0 && options.Expires < time.Second {
		return nil, fmt.Errorf("signatures that expire after %v are never valid", options.Expires)
	}
	if s.fields, err = fieldsOf(options.Fields); err != nil {
		return nil, err
	}
	s.start = []string{"v=1;", "a=" + signer.Algorithm() + ";",
		"c=" + options.Header.String() + "/" + options.Body.String() + ";",
		"d=" + options.Domain + ";", "s=" + options.Selector + ";"}
	if options.Identity != "" {
		identity, err := identity(options.Identity, options.Domain)
		if err != nil {
			return nil, err
		}
		s.start = append(s.start, "i="+identity+";")
	}
	s.options = options
	return s, nil
}

// Domain returns whose signature it is, as A-labels.
func (s *Signature) Domain() string { return s.options.Domain }

// Selector returns which of the domain's keys it is.
func (s *Signature) Selector() string { return s.options.Selector }

// Algorithm returns the value of the a= tag.
func (s *Signature) Algorithm() string { return s.signer.Algorithm() }

// Body returns the form that the BodyHash must have.
func (s *Signature) Body() Canon { return s.options.Body }

// selector returns a selector in lower case: labels of letters, digits, hyphens and, beyond RFC
// 6376 3.1, underscores, which some senders have.
func selector(s string) (string, error) {
	for label := range strings.SplitSeq(s, ".") {
		bad := strings.ContainsFunc(label, func(r rune) bool {
			return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' ||
				r == '-' || r == '_')
		})
		if bad || label == "" || len(label) > 63 || label[0] == '-' ||
			label[len(label)-1] == '-' {
			return "", fmt.Errorf("%q is not a selector: letters, digits, - and _, in parts of at "+
				"most 63 with dots between", s)
		}
	}
	return strings.ToLower(s), nil
}

// identity returns the value of i= (RFC 6376 3.5): the part before the @ in the quoted-printable
// of DKIM (2.11).
func identity(raw, domain string) (string, error) {
	at := strings.LastIndexByte(raw, '@')
	if at < 0 {
		return "", fmt.Errorf("the identity %q has no @", raw)
	}
	of, err := smtp.Domain(raw[at+1:])
	of = strings.TrimSuffix(of, ".")
	if err != nil || of != domain && !strings.HasSuffix(of, "."+domain) {
		return "", fmt.Errorf("the identity %q is not of %s or a subdomain of it", raw, domain)
	}
	if at > 255 {
		return "", fmt.Errorf("the identity %q is too long", raw)
	}
	var b strings.Builder
	for i := range at {
		if c := raw[i]; c > ' ' && c < 0x7f && c != ';' && c != '=' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String() + "@" + of, nil
}

// never are fields that a signature does not cover: those that are deleted on the way, and
// signatures, which Sign itself adds.
var never = []string{"Return-Path", "DKIM-Signature"}

// fieldsOf checks the fields and adds From.
func fieldsOf(fields []Field) ([]Field, error) {
	if fields == nil {
		return DefaultFields(), nil
	}
	if len(fields) > maxNames {
		return nil, fmt.Errorf("a signature covers at most %d names of fields, not %d", maxNames,
			len(fields))
	}
	list := []Field{{"From", OverSigned}}
	for _, f := range fields {
		if !fieldName(f.Name) {
			return nil, fmt.Errorf("%q is not the name of a field that can be signed", f.Name)
		}
		is := func(name string) bool { return strings.EqualFold(name, f.Name) }
		if slices.ContainsFunc(never, is) {
			return nil, fmt.Errorf("%s is not to be signed: it changes on the way", f.Name)
		}
		if f.Cover > OverSigned {
			return nil, fmt.Errorf("%s: there is no cover %d", f.Name, f.Cover)
		}
		i := slices.IndexFunc(list, func(g Field) bool { return is(g.Name) })
		if i < 0 {
			list = append(list, f)
		} else {
			list[i].Cover = max(list[i].Cover, f.Cover)
		}
	}
	return list, nil
}

// fieldName reports whether name is of printable ASCII (RFC 5322 2.2). A semicolon would end the
// h= tag.
func fieldName(name string) bool {
	return len(name) > 0 && len(name) < message.MaxName &&
		!strings.ContainsFunc(name, func(r rune) bool {
			return r <= ' ' || r >= 0x7f || r == ':' || r == ';'
		})
}
