// Package token proves that two ends of a connection know a join token, of which one has no more
// than a verifier. It is SCRAM's exchange (RFC 5802 3) without its salt: a token that the program
// makes has 160 random bits, and each proof is bound to its connection.
//
// A verifier checks the proof of who has the token, and proves that its holder is who recorded it.
// It lets nobody in: from it follows neither the token nor a proof of it.
package token

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
)

// Size is that of both proofs, in octets.
const Size = sha256.Size

// Verifier is what a cluster keeps of a token. Read-only.
type Verifier struct {
	Stored []byte `json:"stored"` // the hash of the key that the joining side shows
	Server []byte `json:"server"` // the key of the cluster's proof
}

// Of returns the verifier of a token.
func Of(secret string) Verifier {
	return Verifier{Stored: hash(clientKey(secret)), Server: mac([]byte(secret), "Server Key")}
}

// Equal reports whether both are of one token.
func (v Verifier) Equal(o Verifier) bool {
	return len(v.Stored) > 0 && bytes.Equal(v.Stored, o.Stored)
}

// Prove returns the proof that this side knows the token. bound is what only the two ends of the
// connection know.
func Prove(secret string, bound []byte) []byte {
	key := clientKey(secret)
	return masked(key, hash(key), bound)
}

// Checks reports whether a proof is of the verifier's token.
func (v Verifier) Checks(proof, bound []byte) bool {
	return len(proof) == Size && len(v.Stored) == Size &&
		hmac.Equal(hash(masked(proof, v.Stored, bound)), v.Stored)
}

// Answer returns the proof that this side has the verifier.
func (v Verifier) Answer(bound []byte) []byte { return mac(v.Server, "server", bound...) }

// Answers reports whether an answer is of who has the token's verifier.
func Answers(answer []byte, secret string, bound []byte) bool {
	return hmac.Equal(answer, Of(secret).Answer(bound))
}

func clientKey(secret string) []byte { return mac([]byte(secret), "Client Key") }

// masked takes the key of a token to its proof, and back.
func masked(b, stored, bound []byte) []byte {
	to := make([]byte, Size)
	subtle.XORBytes(to, b, mac(stored, "client", bound...))
	return to
}

func hash(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

func mac(key []byte, text string, more ...byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	h.Write(more)
	return h.Sum(nil)
}
