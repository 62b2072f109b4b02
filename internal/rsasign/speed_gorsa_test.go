//go:build !libcrypto

package rsasign

import (
	"crypto"
	"crypto/rsa"
	"testing"
)

// directly returns a function that makes n signatures with crypto/rsa.
func directly(t *testing.T, k *Key) func(n int) {
	digest := digestOf(1)
	return func(n int) {
		for range n {
			if _, err := rsa.SignPKCS1v15(nil, k.private.key, crypto.SHA256,
				digest[:]); err != nil {
				t.Error(err)
			}
		}
	}
}

// fastest is the least share of the direct speed that will do.
const fastest = 0.97
