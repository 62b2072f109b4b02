package offline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/internal/version"
)

// led opens the store of a node without others, leads its control group and lets fn change that.
func led(t *testing.T, cfg *config.Config, fn func(*control.Editor)) {
	t.Helper()
	store, err := cluster.Open(cluster.Options{Dir: cfg.Node.DataDir})
	if err != nil {
		t.Fatal(err)
	}
	group, state := store.Group(cluster.ControlGroup), control.New()
	if err := state.Load(group); err != nil {
		t.Fatal(err)
	}
	editor, err := lead(t.Context(), group, group.Join, state, directory.New())
	if err != nil {
		t.Fatal(err)
	}
	fn(editor)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRecoverNamesWhoIsThere: rows of a node that was killed are older than its log. Who was
// removed since is not named as one that is given up, who has joined since is.
func TestRecoverNamesWhoIsThere(t *testing.T) {
	cfg := new(config.Config)
	cfg.Node.Name, cfg.Node.DataDir = "mx1", filepath.Join(t.TempDir(), "data")
	backup := strings.NewReader("{\"what\":\"postroad control group\",\"format\":1}\n{}\n")
	if err := Restore(t.Context(), "", cfg, backup); err != nil {
		t.Fatal(err)
	}
	add := func(e *control.Editor, name string) control.Member {
		m, err := e.AddMember(t.Context(), control.Node{
			Name: name, Address: "127.0.0.1:1", Incarnation: uint64(len(name)),
			Version: version.Version, Protocol: control.Protocol,
		})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	var old control.Member
	led(t, cfg, func(e *control.Editor) { old = add(e, "old") })
	killed := *cfg
	killed.Node.DataDir = filepath.Join(t.TempDir(), "killed")
	led(t, cfg, func(e *control.Editor) {
		if err := e.Remove(t.Context(), old.ID); err != nil {
			t.Fatal(err)
		}
		add(e, "newer")
		copyRunning(t, killed.Node.DataDir, cfg.Node.DataDir)
	})
	told := func(accept bool) (words string) {
		t.Helper()
		tell := func(s string) { words += s + "\n" }
		if err := Recover(t.Context(), "", &killed, accept, tell); err != nil {
			t.Fatal(err)
		}
		return words
	}
	dir := datadir.Cluster(killed.Node.DataDir)
	before, err := wire.LoadCredentials(dir)
	if err != nil {
		t.Fatal(err)
	}
	if words := told(false); !strings.Contains(words, "more entries of the cluster's own") ||
		!strings.Contains(words, "what the others acknowledged after entry") {
		t.Errorf("without --accept-loss:\n%s", words)
	}
	after, err := wire.LoadCredentials(dir)
	if err != nil || string(after.Cert) != string(before.Cert) {
		t.Errorf("something was changed: %v", err)
	}
	if words := told(true); strings.Contains(words, "old (member 2) will be out") ||
		!strings.Contains(words, "newer (member 3) will be out") {
		t.Errorf("with --accept-loss:\n%s", words)
	}
}

// TestRecoverAlone: nobody has acknowledged what a node without others does not have.
func TestRecoverAlone(t *testing.T) {
	cfg := new(config.Config)
	cfg.Node.Name, cfg.Node.DataDir = "mx1", filepath.Join(t.TempDir(), "data")
	backup := strings.NewReader("{\"what\":\"postroad control group\",\"format\":1}\n{}\n")
	if err := Restore(t.Context(), "", cfg, backup); err != nil {
		t.Fatal(err)
	}
	var words string
	if err := Recover(t.Context(), "", cfg, false, func(s string) {
		words += s + "\n"
	}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(words, "others") || !strings.Contains(words, "is here") {
		t.Errorf("it says:\n%s", words)
	}
}

// copyRunning copies the data of a node that runs, as a kill would leave them. The log's mark is
// read first: it must name no block that came after the segment was copied.
func copyRunning(t *testing.T, to, from string) {
	t.Helper()
	mark := filepath.Join("segments", "mark")
	first, err := os.ReadFile(filepath.Join(from, mark))
	if err == nil {
		err = os.CopyFS(to, os.DirFS(from))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(to, mark), first, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
