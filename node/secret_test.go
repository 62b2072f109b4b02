package node

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/datadir"
	rowstest "github.com/postroad/postroad/internal/testkit/rows"
	"github.com/postroad/postroad/operate/admin/api"
)

// Small files of the data directory that are damaged: no restart mends that, and the words name the
// file and say what to do.
func TestDamagedSmallFiles(t *testing.T) {
	cfg := new(config.Config)
	cfg.Node.Name, cfg.Node.DataDir = "mx1", t.TempDir()
	if err := os.Mkdir(clusterDir(cfg), 0o700); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(cfg.Node.DataDir, "scram.secret")
	for _, c := range []struct {
		path, text, do string
		read           func() error
	}{
		{secret, strings.Repeat("x", 16), "remove it", func() error {
			_, err := keptSecret(secret)
			return err
		}},
		{secret, strings.Repeat("\x00", 32), "remove it",
			func() error { _, err := keptSecret(secret); return err }},
		{
			filepath.Join(clusterDir(cfg), "addresses.json"), "{", "remove it",
			func() error { _, err := member.OpenAddresses(clusterDir(cfg)); return err },
		},
		{
			filepath.Join(clusterDir(cfg), datadir.JoinedFile), "{", "join again",
			func() error { _, err := member.ReadJoined(cfg.Node.DataDir); return err },
		},
	} {
		if err := os.WriteFile(c.path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := c.read()
		var said *api.Error
		if !errors.As(err, &said) || said.Exit != api.ExitConfig ||
			!strings.Contains(said.Message, c.do) ||
			!strings.Contains(said.Message, "is damaged") {
			t.Errorf("%s with %q: %v", c.path, c.text, err)
		}
	}
}

// TestScramSecretIsTheClusters: two nodes of a cluster answer for a user who does not exist alike,
// whatever is in their own files.
func TestScramSecretIsTheClusters(t *testing.T) {
	secret := func(caKey string, own byte) []byte {
		n := &node{control: control.New()}
		if caKey != "" {
			e := control.Editor{State: n.control, Proposer: rowstest.New(n.control), Now: time.Now}
			if err := e.Init(t.Context(), "c", []byte("cert"), []byte(caKey), control.Node{
				Name: "mx1", Incarnation: uint64(own),
			}); err != nil {
				t.Fatal(err)
			}
		}
		return n.scramSecret(bytes.Repeat([]byte{own}, secretLen))
	}
	one, two, other := secret("key", 1), secret("key", 2), secret("another", 1)
	if !bytes.Equal(one, two) || bytes.Equal(one, other) || bytes.Contains(one, []byte("key")) {
		t.Errorf("%x and %x in one cluster, %x in another", one, two, other)
	}
	if got := secret("", 1); !bytes.Equal(got, bytes.Repeat([]byte{1}, secretLen)) {
		t.Errorf("without a cluster %x", got)
	}
}
