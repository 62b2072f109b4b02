package token

import (
	"bytes"
	"testing"
)

// TestProofs: each side is sure of the other, on this connection only, and what the cluster keeps
// makes no proof.
func TestProofs(t *testing.T) {
	const secret = "pr1-abcdefghijklmnopqrstuvwxyz234567"
	here, there := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	v, other := Of(secret), Of(secret+"x")
	proof := Prove(secret, here)
	for what, in := range map[string]struct{ got, want bool }{
		"the proof":               {v.Checks(proof, here), true},
		"on another connection":   {v.Checks(proof, there), false},
		"of another token":        {other.Checks(proof, here), false},
		"cut":                     {v.Checks(proof[1:], here), false},
		"the stored key":          {v.Checks(v.Stored, here), false},
		"a proof of stored":       {v.Checks(masked(v.Stored, v.Stored, here), here), false},
		"a proof of server":       {v.Checks(masked(v.Server, v.Stored, here), here), false},
		"no verifier":             {Verifier{}.Checks(proof, here), false},
		"the answer":              {Answers(v.Answer(here), secret, here), true},
		"answer of elsewhere":     {Answers(v.Answer(there), secret, here), false},
		"answer of another token": {Answers(other.Answer(here), secret, here), false},
		"equal":                   {v.Equal(Of(secret)), true},
		"not equal":               {v.Equal(other), false},
		"nothing is not equal":    {Verifier{}.Equal(Verifier{}), false},
	} {
		if in.got != in.want {
			t.Errorf("%s: %v, want %v", what, in.got, in.want)
		}
	}
}
