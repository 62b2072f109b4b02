package node

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/version"
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
	creds, err := wire.LoadCredentials(clusterDir(cfg))
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
		inStore(t, cfg, func(store *cluster.Node) { err = mayGoOn(file, cfg, self, store) })
		return err
	}
	if err := mayStart(); err != nil {
		t.Errorf("without a note: %v", err)
	}
	var end uint64
	inStore(t, cfg, func(store *cluster.Node) { end = store.Group(cluster.ControlGroup).LastIndex() })
	for _, log := range []uint64{0, end} {
		if err := writeNote(file, cfg, self, log); err != nil {
			t.Fatal(err)
		}
		if err := mayStart(); err != nil {
			t.Errorf("with entry %d of %d: %v", log, end, err)
		}
	}
	if err := writeNote(file, cfg, self, end+1); err != nil {
		t.Fatal(err)
	}
	words := []string{"is older than " + file + ".member says", "cluster replace mx1 NEW", "Nothing was deleted", "remove the file"}
	mustBeConfig(t, "a start", mayStart(), words...)
	mustBeConfig(t, "a recovery", Recover(t.Context(), file, cfg, true, func(string) {}), words...)

	led(t, cfg, func(e *control.Editor) { // its log goes on, as that of one that has gone on alone
		if _, err := e.AddToken(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
	})
	if err := mayStart(); err != nil {
		t.Errorf("after its log went on: %v", err)
	}
	other := self
	other.Cluster = "0123456789abcdef"
	if err := errors.Join(forgetNote(file, cfg), writeNote(file, cfg, other, 1)); err != nil {
		t.Fatal(err)
	}
	mustBeConfig(t, "a start of another cluster's disk", mayStart(), "it is of cluster "+self.Cluster)
}

// TestNoteOfTwoPlaces: the commands of an operator may write beside the configuration, the node
// only beside its data. The newer note counts, and both are named.
func TestNoteOfTwoPlaces(t *testing.T) {
	cfg, file := founded(t)
	self := selfOf(t, cfg)
	if err := os.Mkdir(cfg.Node.DataDir+".member", 0o700); err != nil {
		t.Fatal(err)
	}
	old := memberNote{Cluster: self.Cluster, Member: 1, Name: "mx1", Written: time.Now().UTC().Add(-time.Hour)}
	b, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(cfg.Node.DataDir+".member", "note")
	if err := errors.Join(os.WriteFile(file+".member", b, 0o600), writeNote("", cfg, self, 77)); err != nil {
		t.Fatal(err)
	}
	note, path := readNote(file, cfg)
	if note == nil || note.Log != 77 || path != file+".member and "+beside {
		t.Errorf("read %+v in %s", note, path)
	}
}

// TestNoteOfAList: the note of a node that has a list of nodes is written too, and counts when the
// list names nobody else any more; a backup is not restored beside it either. Where it cannot be
// written, the list stands for it.
func TestNoteOfAList(t *testing.T) {
	cfg, file := founded(t)
	self := selfOf(t, cfg)
	cfg.Cluster.Advertise, cfg.Cluster.TokenFile = "mx1.example.net:7025", filepath.Join(filepath.Dir(file), "token")
	cfg.Cluster.Join = []string{cfg.Cluster.Advertise, "mx2.example.net:7025"}
	if err := os.WriteFile(cfg.Cluster.TokenFile, []byte("a-token-that-is-long-enough\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeNote(file, cfg, self, 5); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(cfg.Node.DataDir); err != nil {
		t.Fatal(err)
	}
	cfg.Cluster.Join = cfg.Cluster.Join[:1]
	n := &node{cfg: cfg, file: file}
	mustBeConfig(t, "a start", n.joinByItself(t.Context()), "is empty, but this node was mx1", "remove the file")
	mustBeConfig(t, "a restore", Restore(t.Context(), file, cfg, aBackup()), "is empty, but this node was mx1", "remove the file")
	if err := os.Remove(file + ".member"); err != nil {
		t.Fatal(err)
	}
	if err := n.joinByItself(t.Context()); err != nil {
		t.Errorf("once the note is removed: %v", err)
	}
	if err := Restore(t.Context(), file, cfg, aBackup()); err != nil {
		t.Errorf("once the note is removed: %v", err)
	}

	nowhere := *cfg
	nowhere.Node.DataDir = filepath.Join(t.TempDir(), "gone", "data")
	if err := writeNote("", &nowhere, self, 5); err != nil {
		t.Errorf("where nothing can be written: %v", err)
	}
	nowhere.Cluster.Join = nil
	if err := writeNote("", &nowhere, self, 5); err == nil {
		t.Error("without a list nothing is said")
	}
}

// TestNoteFollowsMembers: the note moves on when the control group, or another group of the node,
// gets another voter, and not else.
func TestNoteFollowsMembers(t *testing.T) {
	cfg, file := founded(t)
	inStore(t, cfg, func(store *cluster.Node) {
		r := &recovery{state: control.New(), users: directory.New()}
		group := store.Group(cluster.ControlGroup)
		editor, err := r.lead(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		n := &node{cfg: cfg, file: file, self: selfOf(t, cfg), store: store, control: r.state}
		noted := func() uint64 {
			n.noteMembers()
			if note, _ := readNote(file, cfg); note != nil {
				return note.Log
			}
			return 0
		}
		observed := func(id uint64, index uint64, voters ...uint16) {
			t.Helper()
			if err := editor.Observed(t.Context(), id, control.Configuration{Voters: voters, Index: index}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := editor.AddMember(t.Context(), control.Node{
			Name: "mx2", Address: "127.0.0.1:1", Incarnation: 2, Version: version.Version, Protocol: protocol,
		}); err != nil {
			t.Fatal(err)
		}
		if err := editor.Bootstrapped(t.Context(), cluster.HomeGroup); err != nil {
			t.Fatal(err)
		}
		observed(cluster.ControlGroup, 1, 1)
		if log := noted(); log != 0 {
			t.Errorf("alone it notes entry %d", log)
		}
		var last uint64
		for _, id := range []uint64{cluster.ControlGroup, cluster.HomeGroup} {
			observed(id, 2, 1, 2)
			log := noted()
			if log != group.AppliedIndex() || log <= last {
				t.Errorf("with another voter of group %d it notes entry %d of %d", id, log, group.AppliedIndex())
			}
			last = log
			if _, err := editor.AddToken(t.Context(), time.Hour); err != nil {
				t.Fatal(err)
			}
			if log := noted(); log != last {
				t.Errorf("without a change it notes entry %d, not %d", log, last)
			}
		}
	})
}
