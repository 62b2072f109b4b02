package mail

import "testing"

func TestOriginal(t *testing.T) {
	for orcpt, want := range map[string]string{
		"": "", "rfc822;sales@example.net": "sales@example.net", "RFC822;a@example.net": "",
		"UTF-8;wörk@example.net": "wörk@example.net",
		"x400;/c=de/s=a":         "", "rfc822": "", "rfc822;A@example.net": "A@example.net",
	} {
		r := Recipient{Address: "a@example.net", ORcpt: orcpt}
		if got := r.Original(); got != want {
			t.Errorf("%q: %q, want %q", orcpt, got, want)
		}
	}
}
