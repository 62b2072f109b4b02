package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// TestOpenSecrets: a token, a password or a key that everybody can read is refused by name, with
// what to do; a certificate may be read, and a group may read a key.
func TestOpenSecrets(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "secrets-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	made, err := mailtest.NewCertificate("mx.test")
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Write(dir); err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Config{}
	c.TLS.Certificate, c.TLS.Key, c.Admin.TokenFile = cert, key, token
	for _, m := range []struct {
		key, token os.FileMode
		want       []string
	}{
		{0o600, 0o600, nil}, {0o640, 0o440, nil},
		{0o644, 0o600, []string{"tls.key", "chmod 600 " + key}},
		{0o640, 0o604, []string{"admin.token_file", "chmod 600 " + token}},
	} {
		for path, mode := range map[string]os.FileMode{dir: 0o755, cert: 0o644, key: m.key,
			token: m.token} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		err := c.CheckFiles("x.toml")
		if (err != nil) != (m.want != nil) {
			t.Errorf("%o, %o: %v", m.key, m.token, err)
		}
		for _, words := range m.want {
			if err != nil && !strings.Contains(err.Error(), words) {
				t.Errorf("%o, %o: %v lacks %q", m.key, m.token, err, words)
			}
		}
		if _, err := ReadSecret(token); (err != nil) != (m.token == 0o604) {
			t.Errorf("%o is read: %v", m.token, err)
		}
	}
}
