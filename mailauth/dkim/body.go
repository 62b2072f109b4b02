package dkim

import (
	"crypto/sha256"
	"errors"
	"hash"

	"github.com/postroad/postroad/internal/message"
)

// Canon is a canonical form: what may change on the way without breaking a signature (RFC 6376
// 3.4).
type Canon uint8

const (
	Relaxed Canon = iota // folding, case of field names, the amount of white space
	Simple               // nothing, empty lines at the end of the body aside
)

func (c Canon) String() string {
	if c == Simple {
		return "simple"
	}
	return "relaxed"
}

// ErrLineEnds is the error for mail with a CR or LF that is not part of CRLF. What becomes of those
// on the way is not known.
var ErrLineEnds = errors.New("the message has a CR or LF that is not part of CRLF")

// BodyHash makes the SHA-256 hashes of a message's body in its canonical forms while the body
// arrives, in pieces of any size. Make it with NewBodyHash. It is for one goroutine at a time.
type BodyHash struct {
	forms [2]*bodyForm // by Canon; nil: not asked for
}

type bodyForm struct {
	hash  hash.Hash
	canon *message.BodyCanon
	done  bool
	sum   [sha256.Size]byte
}

// NewBodyHash returns one for these canonical forms; without any, for Relaxed.
func NewBodyHash(forms ...Canon) *BodyHash {
	if len(forms) == 0 {
		forms = []Canon{Relaxed}
	}
	h := &BodyHash{}
	for _, c := range forms {
		sha := sha256.New()
		h.forms[c] = &bodyForm{hash: sha, canon: message.NewBodyCanon(sha, c == Relaxed)}
	}
	return h
}

// Write takes the next piece of the body, without dot-stuffing. It never fails.
func (h *BodyHash) Write(p []byte) (int, error) {
	for _, f := range h.forms {
		if f != nil {
			f.canon.Write(p)
		}
	}
	return len(p), nil
}

// Sum ends the body and returns its hash in that form, which NewBodyHash was told of. With
// ErrLineEnds it is the hash of a body that has CRLF in place of each bare LF; a verifier may want
// it, a signer must not use it.
func (h *BodyHash) Sum(c Canon) (sum [sha256.Size]byte, err error) {
	f := h.forms[c]
	if f == nil {
		return sum, errors.New("no hash of the body was made in its " + c.String() + " form")
	}
	if !f.done {
		f.done = true
		f.canon.Close()
		f.hash.Sum(f.sum[:0])
	}
	if f.canon.Bare() {
		err = ErrLineEnds
	}
	return f.sum, err
}

// Reset makes h ready for another body in the same forms.
func (h *BodyHash) Reset() {
	for _, f := range h.forms {
		if f != nil {
			f.hash.Reset()
			f.canon.Reset()
			f.done = false
		}
	}
}
