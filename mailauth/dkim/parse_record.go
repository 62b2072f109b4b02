package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// ParseRecord reads the record of a key: the strings of one TXT record, joined with nothing between
// them. White space, unknown tags and unknown flags are passed over, as RFC 6376 3.2 and 3.6.1 have
// it. A revoked key is no error, an unknown type of key is one.
func ParseRecord(text string) (Record, error) {
	var r Record
	if len(text) > maxRecord {
		return r, fmt.Errorf("the record has %d octets, more than %d", len(text), maxRecord)
	}
	tags, first, err := parseTags(text)
	if err != nil {
		return r, err
	}
	// A v= tag is the first one and has this value.
	v, versioned := tags["v"]
	data, keyed := tags["p"]
	switch {
	case versioned && first != "v":
		return r, errors.New("the v= tag is not the first one of the record")
	case versioned && v != "DKIM1", !versioned && !keyed:
		return r, ErrNoRecord
	case !keyed:
		return r, errors.New("the record has no p= tag, so no key")
	}
	r.Type = KeyRSA
	if k, ok := tags["k"]; ok {
		r.Type = k
	}
	r.Hashes, r.Services, r.Notes = list(tags, "h"), list(tags, "s"), tags["n"]
	for _, flag := range list(tags, "t") {
		r.Testing = r.Testing || flag == "y"
		r.Strict = r.Strict || flag == "s"
	}
	r.Key, err = publicKey(r.Type, data)
	return r, err
}

// parseTags reads a list of tags (RFC 6376 3.2), and tells which came first. One that has a tag
// twice is invalid.
func parseTags(text string) (tags map[string]string, first string, err error) {
	tags = map[string]string{}
	for spec := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(spec, "=")
		name, value = strings.Trim(name, whiteSpace), strings.Trim(value, whiteSpace)
		switch {
		case !ok && name == "":
			continue // after the last semicolon; an empty one between two is met and harmless
		case !ok || !tagName(name):
			return nil, "", fmt.Errorf("%w: %.40q is no tag", ErrNoRecord, spec)
		}
		if _, twice := tags[name]; twice {
			return nil, "", fmt.Errorf("the record has the tag %.40q twice", name+"=")
		}
		if len(tags) == 0 {
			first = name
		}
		tags[name] = value
	}
	return tags, first, nil
}

const whiteSpace = " \t\r\n"

// tagName: a letter, and letters, digits and underscores after it.
func tagName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// list returns the values of a tag with colons between them; nil without the tag.
func list(tags map[string]string, name string) (values []string) {
	value, ok := tags[name]
	if !ok {
		return nil
	}
	values = []string{}
	for v := range strings.SplitSeq(value, ":") {
		if v = strings.Trim(v, whiteSpace); v != "" {
			values = append(values, v)
		}
	}
	return values
}

// publicKey returns the key in the value of p=, nil for one that is revoked.
func publicKey(kind, data string) (crypto.PublicKey, error) {
	if kind != KeyRSA && kind != KeyEd25519 {
		return nil, fmt.Errorf("the record has a key of the type %.40q, which is not known", kind)
	}
	if data == "" {
		return nil, nil
	}
	raw, err := decodeBase64(data)
	if err != nil {
		return nil, fmt.Errorf("the key in the record is not in base64: %w", err)
	}
	if kind == KeyEd25519 {
		if len(raw) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("the Ed25519 key in the record has %d octets, not %d", len(raw),
				ed25519.PublicKeySize)
		}
		return ed25519.PublicKey(raw), nil
	}
	// RFC 6376 has an RSAPublicKey, its erratum 3017 and everybody the form with its type around.
	key, err := x509.ParsePKIXPublicKey(raw)
	if err != nil {
		plain, plainErr := x509.ParsePKCS1PublicKey(raw)
		if plainErr != nil {
			return nil, fmt.Errorf("the record has no RSA key: %w", err)
		}
		return plain, nil
	}
	if key, ok := key.(*rsa.PublicKey); ok {
		return key, nil
	}
	return nil, errors.New("the record says that its key is for RSA, and it is not")
}

// decodeBase64 decodes base64 with white space anywhere (RFC 6376 2.10, 3.2).
func decodeBase64(s string) ([]byte, error) {
	b := bytes.Map(func(r rune) rune {
		if strings.ContainsRune(whiteSpace, r) {
			return -1
		}
		return r
	}, []byte(s))
	return base64.StdEncoding.AppendDecode(nil, b)
}
