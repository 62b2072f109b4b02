package wire

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCredentialsAreKept(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "data", "cluster")
	if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCredentials(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing is there: %v", err)
	}
	// The second is for another key, the third for the same.
	second := w.credentials(t, w.id(3))
	third := second
	for _, want := range []Credentials{w.credentials(t, w.id(2)), second, third} {
		if err := want.Save(dir); err != nil {
			t.Fatal(err)
		}
		got, err := LoadCredentials(dir)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := want.Identity()
		if b, err := got.Identity(); err != nil || a != b {
			t.Errorf("saved %v, loaded %v, %v", a, b, err)
		}
	}
	for _, name := range []string{CAFile, fileCert, fileKey} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil ||
			info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestCredentialsThatDoNotFit(t *testing.T) {
	w := newWorld(t)
	a, b := w.credentials(t, w.id(2)), w.credentials(t, w.id(2))
	for name, c := range map[string]Credentials{
		"another key":       {CA: a.CA, Cert: a.Cert, Key: b.Key},
		"another authority": {CA: newAuthority(t, "test").cert, Cert: a.Cert, Key: a.Key},
		"the authority's":   {CA: w.cert, Cert: w.cert, Key: w.key},
		"nothing":           {},
	} {
		if err := c.Save(t.TempDir()); err == nil {
			t.Errorf("%s: saved", name)
		}
		if _, err := New(Options{Credentials: c, Self: w.id(2)}); err == nil {
			t.Errorf("%s: a port was made", name)
		}
	}
	if _, err := New(Options{Credentials: a, Self: w.id(3)}); err == nil ||
		!strings.Contains(err.Error(), "another data directory") {
		t.Errorf("credentials of another member: %v", err)
	}
	dir := t.TempDir()
	if err := a.Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, fileKey)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCredentials(dir); err == nil || errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "join anew") {
		t.Errorf("without the key: %v", err)
	}
}

// Whatever has become of a file: which one it is, and what to do.
func TestDamagedCredentials(t *testing.T) {
	w := newWorld(t)
	c := w.credentials(t, w.id(2))
	for _, name := range []string{CAFile, fileCert, fileKey} {
		for how, damage := range map[string]func([]byte) []byte{
			"empty": func([]byte) []byte { return nil },
			"zeros": func(b []byte) []byte { return make([]byte, len(b)) },
			"half":  func(b []byte) []byte { return b[:len(b)/2] },
			"flip":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
			"other": func(b []byte) []byte {
				return []byte("-----BEGIN X-----\nAAAA\n-----END X-----\n")
			},
		} {
			dir := t.TempDir()
			if err := c.Save(dir); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = LoadCredentials(dir)
			if err == nil && how == "flip" {
				continue // what a key does not use
			}
			if err == nil || !strings.Contains(err.Error(), name) ||
				!strings.Contains(err.Error(), dir) ||
				!strings.Contains(err.Error(), "put it back from a backup") {
				t.Errorf("%s, %s: %v", name, how, err)
			}
		}
	}
	b := w.credentials(t, w.id(2))
	dir := t.TempDir()
	if err := c.Save(dir); err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string][]byte{fileKey: b.Key,
		CAFile: newAuthority(t, "test").cert} {
		path := filepath.Join(dir, name)
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, other, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadCredentials(dir); err == nil ||
			!strings.Contains(err.Error(), name+" in "+dir+" is damaged") {
			t.Errorf("another's %s: %v", name, err)
		}
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	w := newWorld(t)
	csr, key, err := NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	for name, sign := range map[string]func() ([]byte, error){
		"nobody": func() ([]byte, error) { return Sign(w.cert, w.key, csr, Identity{}) },
		"a bad cluster ID": func() ([]byte, error) {
			return Sign(w.cert, w.key, csr, Identity{"a/b", 1, 1})
		},
		"no request": func() ([]byte, error) { return Sign(w.cert, w.key, key, w.id(1)) },
		"a spoilt request": func() ([]byte, error) {
			return Sign(w.cert, w.key, spoil(csr), w.id(1))
		},
		"another's key": func() ([]byte, error) { return Sign(w.cert, key, csr, w.id(1)) },
	} {
		if cert, err := sign(); err == nil {
			t.Errorf("%s: signed %s", name, cert)
		}
	}
	if _, _, err := NewAuthority("not a name"); err == nil {
		t.Error("an authority without a good name")
	}
}

// spoil changes the last letters of the base64 in a PEM file: the signature.
func spoil(pem []byte) []byte {
	s := string(pem)
	at := strings.Index(s, "\n-----END") - 12
	return []byte(s[:at] + "AAAA" + s[at+4:])
}

func TestIdentities(t *testing.T) {
	for _, id := range []Identity{{"a", 1, 0}, {strings.Repeat("z", 63), 65535, 1<<64 - 1},
		{"Ab-9", 12, 0xfeed}} {
		if got, err := ParseIdentity(id.String()); err != nil || got != id {
			t.Errorf("%v became %v, %v", id, got, err)
		}
		// And through a certificate.
		a := newAuthority(t, id.Cluster)
		if got, err := a.credentials(t, id).Identity(); err != nil || got != id {
			t.Errorf("%v became %v, %v", id, got, err)
		}
	}
	for _, s := range []string{
		"", "postroad://", "postroad://a/1", "postroad://a/0/0000000000000000",
		"postroad://a/01/0000000000000000",
		"postroad://a/1/0", "postroad://a/1/000000000000000g",
		"postroad://a/65536/0000000000000000", "http://a/1/0000000000000000",
		"postroad://-a/1/0000000000000000", "postroad://a/1/0000000000000000/",
		"postroad://a/1/000000000000000F",
	} {
		if id, err := ParseIdentity(s); err == nil {
			t.Errorf("%q is %v", s, id)
		}
	}
}
