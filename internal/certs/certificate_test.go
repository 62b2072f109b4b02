package certs

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// write puts a new certificate for host into two files.
func write(t *testing.T, dir, host string) (cert, key string) {
	t.Helper()
	made, err := mailtest.NewCertificate(host)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, text := range map[string][]byte{cert: made.Cert, key: made.Key} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// shown is the host of the certificate that listeners show.
func shown(t *testing.T, c *Certificate) string {
	t.Helper()
	leaf, err := x509.ParseCertificate(c.Config().Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.DNSNames[0]
}

// TestPrepare goes from a certificate that is made to files, to others and back. What is prepared
// is not shown before it is asked for; what cannot be prepared changes nothing.
func TestPrepare(t *testing.T) {
	c, err := NewCertificate("", "", "made.example")
	if err != nil {
		t.Fatal(err)
	}
	made := c.Config()
	one, oneKey := write(t, t.TempDir(), "one.example")
	two, twoKey := write(t, t.TempDir(), "two.example")
	for _, step := range []struct{ cert, key, before, after string }{
		{"", "", "made.example", "made.example"},
		{one, oneKey, "made.example", "one.example"},
		{two, twoKey, "one.example", "two.example"},
		{"", "", "two.example", "made.example"},
	} {
		show, err := c.Prepare(step.cert, step.key)
		if err != nil {
			t.Fatal(err)
		}
		if got := shown(t, c); got != step.before {
			t.Errorf("before %+v: %s", step, got)
		}
		show()
		if got := shown(t, c); got != step.after {
			t.Errorf("after %+v: %s", step, got)
		}
		if step.after == step.before && c.Config() != made {
			t.Error("a made certificate was made anew for nothing")
		}
	}
	if _, err := c.Prepare(one, twoKey); err == nil {
		t.Error("two halves of two pairs were taken")
	}
	if got := shown(t, c); got != "made.example" {
		t.Errorf("after a pair that does not fit: %s", got)
	}
}

// TestLook: files that change are read again, also those that a reload has named.
func TestLook(t *testing.T) {
	c, err := NewCertificate("", "", "made.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := write(t, dir, "one.example")
	show, err := c.Prepare(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	show()
	write(t, dir, "two.example")
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(cert, later, later); err != nil {
		t.Fatal(err)
	}
	if err := c.look(); err != nil || shown(t, c) != "two.example" {
		t.Errorf("%v, %s", err, shown(t, c))
	}
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(key, later, later); err != nil {
		t.Fatal(err)
	}
	if err := c.look(); err == nil || shown(t, c) != "two.example" {
		t.Errorf("a bad key: %v, %s", err, shown(t, c))
	}
}
