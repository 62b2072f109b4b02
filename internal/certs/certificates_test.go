package certs

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// write puts a new certificate for hosts into two files.
func write(t *testing.T, dir string, hosts ...string) Pair {
	t.Helper()
	made, err := mailtest.NewCertificate(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	p := Pair{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for file, text := range map[string][]byte{p.Certificate: made.Cert, p.Key: made.Key} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// hand shakes hands with what is shown, and returns what came of it.
func hand(t *testing.T, c *Certificates, a Allow, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	one, two := net.Pipe()
	defer one.Close()
	defer two.Close()
	server := tls.Server(one, c.ConfigFor(a))
	go server.Handshake()
	client.InsecureSkipVerify = true
	inner := tls.Client(two, client)
	err := inner.Handshake()
	return inner.ConnectionState(), err
}

// shownTo is the first name of the certificate that a client of a name sees.
func shownTo(t *testing.T, c *Certificates, name string) string {
	t.Helper()
	state, err := hand(t, c, Allow{}, &tls.Config{ServerName: name})
	if err != nil {
		t.Fatal(err)
	}
	return state.PeerCertificates[0].DNSNames[0]
}

func newCertificates(t *testing.T, f Files) *Certificates {
	t.Helper()
	c, err := New(f, "made.example")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPrepare goes from a certificate that is made to files, to others and back. What is prepared
// is not shown before it is asked for; what cannot be prepared changes nothing.
func TestPrepare(t *testing.T) {
	c := newCertificates(t, Files{})
	made := c.Config()
	one, two := write(t, t.TempDir(), "one.example"), write(t, t.TempDir(), "two.example")
	for _, step := range []struct {
		files         Files
		before, after string
	}{
		{Files{}, "made.example", "made.example"},
		{Files{Default: one}, "made.example", "one.example"},
		{Files{Default: two}, "one.example", "two.example"},
		{Files{More: []Pair{one}, Default: two}, "two.example", "two.example"},
		{Files{}, "two.example", "made.example"},
		{Files{More: []Pair{one}}, "made.example", "made.example"},
	} {
		show, err := c.Prepare(step.files)
		if err != nil {
			t.Fatal(err)
		}
		if got := shownTo(t, c, "x.example"); got != step.before {
			t.Errorf("before %+v: %s", step, got)
		}
		show()
		if got := shownTo(t, c, "x.example"); got != step.after {
			t.Errorf("after %+v: %s", step, got)
		}
		if step.after == step.before && len(step.files.More) == 0 && c.Config() != made {
			t.Error("a made certificate was made anew for nothing")
		}
	}
	for _, p := range []Pair{{Certificate: one.Certificate, Key: two.Key}, {Certificate: "none"}} {
		for _, f := range []Files{{Default: p}, {More: []Pair{two, p}}} {
			if _, err := c.Prepare(f); err == nil {
				t.Errorf("%+v was taken", f)
			}
		}
	}
	if got := shownTo(t, c, "one.example"); got != "one.example" {
		t.Errorf("after a pair that does not fit: %s", got)
	}
}

// TestChosen: a client sees the certificate of the name that it says.
func TestChosen(t *testing.T) {
	wild, given := write(t, t.TempDir(), "*.wild.example"), write(t, t.TempDir(), "given.example")
	given.Names = []string{"xn--grn-ioa.example", "*.given.example"}
	exact := write(t, t.TempDir(), "a.wild.example", "B.example")
	c := newCertificates(t, Files{
		Default: write(t, t.TempDir(), "default.example", "c.wild.example"),
		More:    []Pair{wild, given, exact},
	})
	for name, want := range map[string]string{
		"": "default.example", "other.example": "default.example",
		"default.example": "default.example", "c.wild.example": "default.example",
		"a.wild.example": "a.wild.example", "A.Wild.Example": "a.wild.example",
		"b.example": "a.wild.example", "x.wild.example": "*.wild.example",
		"x.y.wild.example": "default.example", "wild.example": "default.example",
		"given.example": "default.example", "x.given.example": "given.example",
		"xn--grn-ioa.example": "given.example", "localhost": "default.example",
	} {
		if got := shownTo(t, c, name); got != want {
			t.Errorf("%q sees %s, want %s", name, got, want)
		}
	}
}

// rsaPair writes a certificate with an RSA key.
func rsaPair(t *testing.T, host string) Pair {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	from := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host},
		DNSNames: []string{host}, NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}
	der, err := x509.CreateCertificate(rand.Reader, from, from, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := Pair{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for file, block := range map[string]*pem.Block{p.Certificate: {Type: "CERTIFICATE", Bytes: der},
		p.Key: {Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// TestAllow: old devices get in where they are let in, and nowhere else. A client without elliptic
// curves sees the certificate of the same name that it can use.
func TestAllow(t *testing.T) {
	old, modern := rsaPair(t, "mail.example"), write(t, t.TempDir(), "mail.example", "ec.example")
	c := newCertificates(t, Files{Default: modern, More: []Pair{modern, old}})
	suite := []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}
	for _, step := range []struct {
		what   string
		client *tls.Config
		allow  Allow
		want   bool
	}{
		{"TLS 1.0", &tls.Config{MaxVersion: tls.VersionTLS10}, Allow{}, false},
		{"TLS 1.1", &tls.Config{MaxVersion: tls.VersionTLS11}, Allow{RSA: true}, false},
		{"TLS 1.0 with leave", &tls.Config{MaxVersion: tls.VersionTLS10},
			Allow{Min: tls.VersionTLS10}, true},
		{"TLS 1.0 where 1.1 may", &tls.Config{MaxVersion: tls.VersionTLS10},
			Allow{Min: tls.VersionTLS11}, false},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, Allow{}, true},
		{"TLS 1.2 where 1.3 must", &tls.Config{MaxVersion: tls.VersionTLS12},
			Allow{Min: tls.VersionTLS13}, false},
		{"RSA", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: suite}, Allow{}, false},
		{"RSA with leave", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: suite},
			Allow{RSA: true}, true},
		{"RSA and TLS 1.0 with leave", &tls.Config{MaxVersion: tls.VersionTLS10,
			CipherSuites: suite}, Allow{Min: tls.VersionTLS10, RSA: true}, true},
	} {
		step.client.ServerName, step.client.MinVersion = "mail.example", tls.VersionTLS10
		state, err := hand(t, c, step.allow, step.client)
		if (err == nil) != step.want {
			t.Errorf("%s: %v", step.what, err)
		}
		_, isRSA := any(nil).(*rsa.PublicKey)
		if err == nil {
			_, isRSA = state.PeerCertificates[0].PublicKey.(*rsa.PublicKey)
		}
		if isRSA != (err == nil && step.client.CipherSuites != nil) {
			t.Errorf("%s: an RSA certificate: %v", step.what, isRSA)
		}
	}
	if c.ConfigFor(Allow{RSA: true}) != c.ConfigFor(Allow{RSA: true}) {
		t.Error("each handshake has a configuration of its own, so that no session is resumed")
	}
}

// touch says that files have changed.
func touch(t *testing.T, files ...string) {
	t.Helper()
	later := time.Now().Add(time.Minute)
	for _, f := range files {
		if err := os.Chtimes(f, later, later); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLook: files that change are read again, also those that a reload has named. A pair that does
// not fit holds up no other.
func TestLook(t *testing.T) {
	c := newCertificates(t, Files{})
	dir, more := t.TempDir(), t.TempDir()
	show, err := c.Prepare(Files{Default: write(t, dir, "one.example"),
		More: []Pair{write(t, more, "more.example", "first.example")}})
	if err != nil {
		t.Fatal(err)
	}
	show()
	before := c.Config()
	if err := c.look(); err != nil || c.Config() != before {
		t.Errorf("nothing changed: %v", err)
	}
	p, q := write(t, dir, "two.example"), write(t, more, "more.example", "second.example")
	touch(t, p.Certificate, q.Certificate)
	if err := c.look(); err != nil || shownTo(t, c, "") != "two.example" ||
		shownTo(t, c, "second.example") != "more.example" ||
		shownTo(t, c, "first.example") != "two.example" {
		t.Errorf("%v, %s, %s", err, shownTo(t, c, ""), shownTo(t, c, "second.example"))
	}
	if err := os.WriteFile(p.Key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, more, "more.example", "third.example")
	touch(t, p.Key, q.Key)
	if err := c.look(); err == nil || shownTo(t, c, "") != "two.example" ||
		shownTo(t, c, "third.example") != "more.example" {
		t.Errorf("a bad key: %v, %s, %s", err, shownTo(t, c, ""), shownTo(t, c, "third.example"))
	}
	if err := c.look(); err != nil {
		t.Errorf("it is told again: %v", err)
	}
}

// TestExpiries: of each certificate that is shown it is known when it expires, of two of one name
// the one that does first.
func TestExpiries(t *testing.T) {
	one, two := write(t, t.TempDir(), "one.example"), write(t, t.TempDir(), "two.example")
	c := newCertificates(t, Files{Default: one, More: []Pair{two, one}})
	all := c.Expiries()
	if len(all) != 2 || all["one.example"].IsZero() || all["two.example"].IsZero() {
		t.Errorf("%v", all)
	}
	if all = newCertificates(t, Files{}).Expiries(); len(all) != 1 ||
		!all["made.example"].After(time.Now()) {
		t.Errorf("of one that was made: %v", all)
	}
}
