package dkim

import (
	"testing"

	"github.com/postroad/postroad/internal/testkit/dkimpy"
)

// TestDkimpyVerifies: the Python program that Debian has verifies what we sign, and does not verify
// it with another From.
func TestDkimpyVerifies(t *testing.T) {
	signatures := testSignatures(t)
	const messages = 150
	var all [][]byte
	for seed := range uint64(messages) {
		mail := varied(1000 + seed)
		signed, err := sign(t, mail, signatures...)
		if err != nil {
			t.Fatalf("seed %d: %v\n%q", seed, err, mail)
		}
		all = append(all, []byte(signed), []byte("From: b@other.example\r\n"+signed))
	}
	for i, results := range dkimpy.Verify(t, published("signer.example", testKeys()), all) {
		if len(results) != len(signatures) {
			t.Errorf("message %d: %d signatures", i/2, len(results))
		}
		for j, why := range results {
			if good := why == ""; good != (i%2 == 0) {
				t.Fatalf("message %d, signature %d: %q\n%q", i/2, j, why, all[i])
			}
		}
	}
}
