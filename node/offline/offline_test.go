package offline

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/operate/admin/api"
)

// TestCredentialsOf: without any there is no node; those that are damaged no restart mends, and the
// words name the file and say what to do.
func TestCredentialsOf(t *testing.T) {
	cfg := new(config.Config)
	cfg.Node.DataDir = t.TempDir()
	check := func(words ...string) {
		t.Helper()
		_, err := credentialsOf(cfg)
		var said *api.Error
		if !errors.As(err, &said) || said.Exit != api.ExitConfig {
			t.Fatalf("%v; want exit status 78", err)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("it does not say %q: %v", w, err)
			}
		}
	}
	check("there is no node in "+cfg.Node.DataDir, "--config FILE")
	dir := datadir.Cluster(cfg.Node.DataDir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca.pem", "key.pem", "cert.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check("is damaged", "put it back")
}

// TestNoteMember: a data directory of nobody is not noted, one of a member is.
func TestNoteMember(t *testing.T) {
	cfg := new(config.Config)
	cfg.Node.DataDir = filepath.Join(t.TempDir(), "data")
	if err := NoteMember("", cfg); err != nil {
		t.Errorf("nobody's: %v", err)
	}
	if note, path := member.NotesOf("", cfg).Read(); note != nil {
		t.Errorf("nobody is noted in %s: %+v", path, note)
	}
	cfg, file := founded(t)
	if err := NoteMember(file, cfg); err != nil {
		t.Fatal(err)
	}
	self := selfOf(t, cfg)
	note, path := member.NotesOf(file, cfg).Read()
	if note == nil || note.Name != "mx1" ||
		note.Cluster != self.Cluster || note.Member != self.Member {
		t.Errorf("%s says %+v of %v", path, note, self)
	}
}
