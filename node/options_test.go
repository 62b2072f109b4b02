package node

import (
	"testing"

	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/config"
)

// TestRoutePasswords: a password goes to a server with a good certificate only, unless the file
// says otherwise.
func TestRoutePasswords(t *testing.T) {
	const route = "[[route]]\nsmart_host = \"h.example\"\n"
	const password = "username = \"u\"\npassword_file = \"/dev/null\"\n"
	for text, want := range map[string]smtpclient.TLSMode{
		route:                                     smtpclient.Opportunistic,
		route + password:                          smtpclient.Require,
		route + password + "tls_verify = true":    smtpclient.Require,
		route + password + "tls_verify = false":   smtpclient.Opportunistic,
		route + password + "tls = \"require\"":    smtpclient.Require,
		route + "tls_verify = false\n" + password: smtpclient.Opportunistic,
	} {
		c, err := config.Parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		r, err := routeOf(c.Routes[0])
		if err != nil || r.TLS != want {
			t.Errorf("%s: TLS %v, want %v (%v)", text, r.TLS, want, err)
		}
	}
}

// TestNoRate: a destination with the rate "" has none, though the default has one, and one that
// says nothing has the default's.
func TestNoRate(t *testing.T) {
	c, err := config.Parse("f", []byte("[shaping.default]\nrate = \"10/m\"\n"+
		"[shaping.\"free.example\"]\nrate = \"\"\n[shaping.\"some.example\"]\nconnections = 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := deliveryOf(c)
	if err != nil {
		t.Fatal(err)
	}
	set, err := shaping.NewSet(o.Shaping)
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]bool{"free.example": false, "some.example": true} {
		if l := set.Of(shaping.Site{Domain: domain}); (l.Rate.PerSecond() > 0) != want {
			t.Errorf("%s: %v", domain, l.Rate)
		}
	}
}
