package rsasign

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"sync"
)

// MinBits and MaxBits bound the modulus of a key. Verifiers refuse shorter keys and must take those
// up to 4096 bits (RFC 8301 3.2). OpenSSL and Go sign with all of these; below 1024 bits Go refuses
// by itself, unless GODEBUG has rsa1024min=0.
const (
	MinBits = 1024
	MaxBits = 4096
)

// ErrClosed is the error of Sign after Close.
var ErrClosed = errors.New("the RSA key is closed")

// Key is an RSA private key. Its methods may be called by many goroutines at once; they do not wait
// for each other, but Close waits for the signatures that are being made.
type Key struct {
	public *rsa.PublicKey

	// mu is read-locked by Sign and locked by Close.
	mu      sync.RWMutex
	private *private // nil after Close
}

// Parse reads a private key in DER, of PKCS #8 or PKCS #1. It does not keep der; whoever has it may
// wipe it. The key is tried once, so that one whose parts do not belong together is refused here
// and not when mail waits for its signature.
func Parse(der []byte) (*Key, error) {
	if len(der) == 0 {
		return nil, errors.New("the RSA private key is empty")
	}
	p, public, err := parse(der)
	if err != nil {
		return nil, err
	}
	k := &Key{public: public, private: p}
	if err := k.try(); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

// checkBits refuses a modulus that is too short or too long.
func checkBits(bits int) error {
	switch {
	case bits < MinBits:
		return fmt.Errorf("the RSA key has %d bits, and verifiers refuse fewer than %d: "+
			"make one of 2048", bits, MinBits)
	case bits > MaxBits:
		return fmt.Errorf("the RSA key has %d bits, more than %d: make one of 2048", bits, MaxBits)
	}
	return nil
}

// Public returns the public key. It is valid after Close too.
func (k *Key) Public() *rsa.PublicKey { return k.public }

// Bits returns the length of the modulus.
func (k *Key) Bits() int { return k.public.N.BitLen() }

// Sign returns the signature of a SHA-256 digest.
func (k *Key) Sign(digest [32]byte) ([]byte, error) {
	return k.Append(nil, digest)
}

// Append appends the signature of a SHA-256 digest to b. With an error it returns b as it was.
func (k *Key) Append(b []byte, digest [32]byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.private == nil {
		return b, ErrClosed
	}
	return k.private.append(b, &digest, k.public.Size())
}

// Close frees the private key and wipes its memory as far as the implementation lets us. A second
// Close does nothing.
func (k *Key) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.private != nil {
		k.private.free()
		k.private = nil
	}
}
