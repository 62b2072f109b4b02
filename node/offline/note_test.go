package offline

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/datadir"
	"github.com/postroad/postroad/operate/admin/api"
)

// founded makes a data directory of a cluster of one, and returns its configuration and that's
// file. There is no note yet.
func founded(t *testing.T) (*config.Config, string) {
	t.Helper()
	dir := t.TempDir()
	cfg := new(config.Config)
	cfg.Node.Name, cfg.Node.DataDir = "mx1", filepath.Join(dir, "data")
	file := filepath.Join(dir, "postroad.toml")
	if err := Restore(t.Context(), file, cfg, aBackup()); err != nil {
		t.Fatal(err)
	}
	return cfg, file
}

func aBackup() *strings.Reader {
	return strings.NewReader("{\"what\":\"postroad control group\",\"format\":1}\n{}\n")
}

func selfOf(t *testing.T, cfg *config.Config) wire.Identity {
	t.Helper()
	creds, err := wire.LoadCredentials(datadir.Cluster(cfg.Node.DataDir))
	if err != nil {
		t.Fatal(err)
	}
	self, err := creds.Identity()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// inStore opens the store of a node that does not run.
func inStore(t *testing.T, cfg *config.Config, fn func(*cluster.Node)) {
	t.Helper()
	store, err := cluster.Open(cluster.Options{Dir: cfg.Node.DataDir})
	if err != nil {
		t.Fatal(err)
	}
	fn(store)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustBeConfig(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Exit != api.ExitConfig {
		t.Fatalf("%s: %v; want exit status 78", what, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s does not say %q: %v", what, w, err)
		}
	}
}

// TestNoteOfOlderDisk: a data directory whose log ends before what the note knows, and by which the
// node is alone, is refused by a start and by a recovery; one that is as new as the note, as after
// the others were removed, and a note that does not know, are not.
func TestNoteOfOlderDisk(t *testing.T) {
	cfg, file := founded(t)
	self := selfOf(t, cfg)
	mayStart := func() (err error) {
		inStore(t, cfg, func(store *cluster.Node) {
			err = member.NotesOf(file, cfg).MayGoOn(self, store)
		})
		return err
	}
	if err := mayStart(); err != nil {
		t.Errorf("without a note: %v", err)
	}
	var end uint64
	inStore(t, cfg, func(store *cluster.Node) {
		end = store.Group(cluster.ControlGroup).LastIndex()
	})
	for _, log := range []uint64{0, end} {
		if err := member.NotesOf(file, cfg).Write(self, log); err != nil {
			t.Fatal(err)
		}
		if err := mayStart(); err != nil {
			t.Errorf("with entry %d of %d: %v", log, end, err)
		}
	}
	if err := member.NotesOf(file, cfg).Write(self, end+1); err != nil {
		t.Fatal(err)
	}
	words := []string{
		"is older than " + file + ".member says", "cluster replace mx1 NEW",
		"Nothing was deleted", "remove the file",
	}
	mustBeConfig(t, "a start", mayStart(), words...)
	mustBeConfig(t, "a recovery", Recover(t.Context(), file, cfg, true, func(string) {}), words...)

	led(t, cfg, func(e *control.Editor) { // its log goes on, as that of one that has gone on alone
		if _, err := e.AddToken(t.Context(), time.Hour, 0); err != nil {
			t.Fatal(err)
		}
	})
	if err := mayStart(); err != nil {
		t.Errorf("after its log went on: %v", err)
	}
	other := self
	other.Cluster = "0123456789abcdef"
	notes := member.NotesOf(file, cfg)
	if err := errors.Join(notes.Forget(), notes.Write(other, 1)); err != nil {
		t.Fatal(err)
	}
	mustBeConfig(t, "a start of another cluster's disk", mayStart(),
		"it is of cluster "+self.Cluster)
}

// TestRestoreBesideANote: a backup is not restored where a note says that the node was a member, be
// it of a cluster in whose list of nodes it is.
func TestRestoreBesideANote(t *testing.T) {
	cfg, file := founded(t)
	cfg.Cluster.Join = []string{"mx1.example.net:7025"}
	if err := member.NotesOf(file, cfg).Write(selfOf(t, cfg), 5); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(cfg.Node.DataDir); err != nil {
		t.Fatal(err)
	}
	err := Restore(t.Context(), file, cfg, aBackup())
	mustBeConfig(t, "a restore", err, "is empty, but this node was mx1", "remove the file")
	if err := os.Remove(file + ".member"); err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), file, cfg, aBackup()); err != nil {
		t.Errorf("once the note is removed: %v", err)
	}
	err = Restore(t.Context(), file, cfg, aBackup())
	mustBeConfig(t, "another restore", err, "is in use already")
}
