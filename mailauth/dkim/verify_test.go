package dkim

import (
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

// verify returns what another implementation says of each signature, "" for a good one.
func verify(t *testing.T, mail string, records map[string]string) (results []string) {
	t.Helper()
	list, err := dkim.VerifyWithOptions(strings.NewReader(mail), &dkim.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return []string{records[name]}, nil }})
	if err != nil {
		t.Fatalf("%v\n%s", err, mail)
	}
	for _, v := range list {
		if results = append(results, ""); v.Err != nil {
			results[len(results)-1] = v.Err.Error()
		}
	}
	return results
}

// TestOtherVerifies: another implementation verifies what we sign, of messages of all kinds, and
// sees what is done to them.
func TestOtherVerifies(t *testing.T) {
	records := published("signer.example", testKeys())
	signatures := testSignatures(t)
	for seed := range uint64(600) {
		mail := varied(seed)
		signed, err := sign(t, mail, signatures...)
		if err != nil {
			t.Fatalf("seed %d: %v\n%q", seed, err, mail)
		}
		for i, why := range verify(t, signed, records) {
			if why != "" {
				t.Errorf("seed %d, signature %d: %s\n%q", seed, i, why, signed)
			}
		}
		if n := len(verify(t, signed, records)); n != len(signatures) {
			t.Errorf("seed %d: %d signatures", seed, n)
		}
		for what, changed := range map[string]string{
			"a second From":    "From: b@other.example\r\n" + signed,
			"a second Subject": "Subject: Read this instead\r\n" + signed,
			"a Reply-To":       "Reply-To: b@other.example\r\n" + signed,
			"another body":     signed + "\r\nx\r\n",
		} {
			for i, why := range verify(t, changed, records) {
				if why == "" {
					t.Errorf("seed %d, signature %d verifies with %s", seed, i, what)
				}
			}
		}
		if t.Failed() {
			return
		}
	}
}
