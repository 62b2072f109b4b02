package dkim

import (
	"crypto/ed25519"

	"github.com/postroad/postroad/internal/rsasign"
)

// The algorithms of signatures (RFC 6376 3.3, RFC 8463 3). rsa-sha1 is no more (RFC 8301).
const (
	RSASHA256     = "rsa-sha256"
	Ed25519SHA256 = "ed25519-sha256"
)

// Signer is a private key. Its methods may be called by many goroutines at once.
type Signer interface {
	// Sign returns the signature of a SHA-256 digest.
	Sign(digest [32]byte) ([]byte, error)
	// Algorithm returns the value of the a= tag.
	Algorithm() string
}

// RSA returns a Signer of rsa-sha256. Who has the key closes it.
func RSA(key *rsasign.Key) Signer { return rsaSigner{key} }

type rsaSigner struct{ *rsasign.Key }

func (rsaSigner) Algorithm() string { return RSASHA256 }

// Ed25519 returns a Signer of ed25519-sha256.
func Ed25519(key ed25519.PrivateKey) Signer { return ed25519Signer(key) }

type ed25519Signer ed25519.PrivateKey

func (s ed25519Signer) Sign(digest [32]byte) ([]byte, error) {
	// Ed25519 itself, of the digest and not of the text (RFC 8463 3).
	return ed25519.Sign(ed25519.PrivateKey(s), digest[:]), nil
}

func (ed25519Signer) Algorithm() string { return Ed25519SHA256 }
