package dkim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"
)

const signatureField = "DKIM-Signature"

// Sign returns a DKIM-Signature field for each of the signatures, to be put in front of the
// message. The header is the message's, with or without the empty line after it; body has taken
// what comes after that line, in the forms that the signatures have. No signature covers another.
//
// It is an error when one of them cannot be made: ErrLineEnds, ErrNoField, ErrNoFrom, ErrTwoFrom
// and ErrTooMany tell of the message, all others of a key.
func Sign(head []byte, body *BodyHash, signatures []*Signature, now time.Time) ([]byte, error) {
	h, err := parseHeader(head)
	if err != nil {
		return nil, err
	}
	// Room for what is usual.
	names, text := make([]string, 0, 40), make([]byte, 0, 3<<10)
	out := make([]byte, 0, len(signatures)<<10)
	for _, s := range signatures {
		sum, err := body.Sum(s.options.Body)
		if err != nil {
			return nil, err
		}
		if names, err = h.list(names[:0], s.fields); err != nil {
			return nil, err
		}
		start := len(out)
		out = s.appendUnsigned(out, names, sum, now)
		text = h.appendCovered(text[:0], names, s.options.Header)
		// The field itself comes last, without the value of b= and without its line end (3.7).
		text = appendField(text, out[start:], s.options.Header)
		text = bytes.TrimSuffix(text, []byte("\r\n"))
		sig, err := s.signer.Sign(sha256.Sum256(text))
		if err != nil {
			return nil, fmt.Errorf("sign for %s with the key %s: %w", s.options.Domain,
				s.options.Selector, err)
		}
		text = base64.StdEncoding.AppendEncode(text[:0], sig)
		out = appendFolded(out, text)
		out = append(out, "\r\n"...)
	}
	return out, nil
}

// appendUnsigned appends the field up to its last tag, b=, which has no value yet.
func (s *Signature) appendUnsigned(b []byte, names []string, body [32]byte, now time.Time) []byte {
	f := folder{b: append(b, signatureField+":"...), column: len(signatureField) + 1}
	for _, tag := range s.start {
		f.word(tag)
	}
	f.word("t=" + strconv.FormatInt(now.Unix(), 10) + ";")
	if s.options.Expires > 0 {
		f.word("x=" + strconv.FormatInt(now.Add(s.options.Expires).Unix(), 10) + ";")
	}
	f.names(names)
	f.word("bh=" + base64.StdEncoding.EncodeToString(body[:]) + ";")
	f.line("b=")
	return f.b
}
