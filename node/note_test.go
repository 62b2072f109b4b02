package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
)

// TestNoteOfAList: the note of a node that has a list of nodes is written too, and counts when the
// list names nobody else any more.
func TestNoteOfAList(t *testing.T) {
	dir := t.TempDir()
	cfg, file := new(config.Config), filepath.Join(dir, "postroad.toml")
	cfg.Node.Name, cfg.Node.DataDir = "mx1", filepath.Join(dir, "data")
	cfg.Cluster.Advertise, cfg.Cluster.TokenFile = "mx1.example.net:7025",
		filepath.Join(dir, "token")
	cfg.Cluster.Join = []string{cfg.Cluster.Advertise, "mx2.example.net:7025"}
	if err := os.WriteFile(cfg.Cluster.TokenFile, []byte("a-token-that-is-long-enough\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	self := wire.Identity{Cluster: "c1", Member: 1, Incarnation: 1}
	if err := member.NotesOf(file, cfg).Write(self, 5); err != nil {
		t.Fatal(err)
	}
	cfg.Cluster.Join = cfg.Cluster.Join[:1]
	n := &node{file: file}
	n.live.Store(cfg)
	err := n.joinByItself(t.Context())
	var said *api.Error
	if !errors.As(err, &said) || said.Exit != api.ExitConfig {
		t.Fatalf("a start: %v; want exit status 78", err)
	}
	for _, w := range []string{"is empty, but this node was mx1", "remove the file"} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("a start does not say %q: %v", w, err)
		}
	}
	if err := os.Remove(file + ".member"); err != nil {
		t.Fatal(err)
	}
	if err := n.joinByItself(t.Context()); err != nil {
		t.Errorf("once the note is removed: %v", err)
	}
}
