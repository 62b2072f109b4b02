//go:build libcrypto

package rsasign

import "testing"

// directly returns a function that makes n signatures in a loop in C, with one context.
func directly(t *testing.T, k *Key) func(n int) {
	return func(n int) {
		if !k.private.loop(n, k.public.Size()) {
			t.Error("a signature failed")
		}
	}
}

// fastest is the least share of the direct speed that will do.
const fastest = 0.95
