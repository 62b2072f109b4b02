package member

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
	rowstest "github.com/postroad/postroad/internal/testkit/rows"
	"github.com/postroad/postroad/operate/admin/api"
)

var mx1 = wire.Identity{Cluster: "c1", Member: 1, Incarnation: 1}

// notesIn are the places of the note of mx1, whose files are in a directory of its own.
func notesIn(t *testing.T) Notes {
	t.Helper()
	dir := t.TempDir()
	return Notes{
		Config: filepath.Join(dir, "postroad.toml"), DataDir: filepath.Join(dir, "data"),
		Name: "mx1",
	}
}

// TestNoteOfTwoPlaces: the commands of an operator may write beside the configuration, the node
// only beside its data. The newer note counts, and both are named.
func TestNoteOfTwoPlaces(t *testing.T) {
	n := notesIn(t)
	if err := os.Mkdir(n.DataDir+".member", 0o700); err != nil {
		t.Fatal(err)
	}
	old, err := json.Marshal(Note{
		Cluster: "c1", Member: 1, Name: "mx1", Written: time.Now().UTC().Add(-time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(n.DataDir+".member", "note")
	onlyBeside := n
	onlyBeside.Config = ""
	err = errors.Join(os.WriteFile(n.Config+".member", old, 0o600), onlyBeside.Write(mx1, 77))
	if err != nil {
		t.Fatal(err)
	}
	note, path := n.Read()
	if note == nil || note.Log != 77 || path != n.Config+".member and "+beside {
		t.Errorf("read %+v in %s", note, path)
	}
	if err := n.Forget(); err != nil {
		t.Fatal(err)
	}
	if note, path = n.Read(); note != nil {
		t.Errorf("after it was removed: %+v in %s", note, path)
	}
}

// TestUnreadableNoteCounts: somebody wrote it.
func TestUnreadableNoteCounts(t *testing.T) {
	n := notesIn(t)
	if err := os.WriteFile(n.Config+".member", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.MayBegin(); !api.IsPermanent(err) ||
		!strings.Contains(err.Error(), "this node was mx1") {
		t.Errorf("a cluster is begun beside half a note: %v", err)
	}
}

// TestNoteNeverGoesBack: what the log once had stays noted, and a note that says it all is not
// written again.
func TestNoteNeverGoesBack(t *testing.T) {
	n := notesIn(t)
	for _, c := range []struct{ log, want uint64 }{{5, 5}, {0, 5}, {4, 5}, {9, 9}} {
		if err := n.Write(mx1, c.log); err != nil {
			t.Fatal(err)
		}
		if note, _ := n.Read(); note == nil || note.Log != c.want || note.Cluster != "c1" ||
			note.Member != 1 {
			t.Errorf("after entry %d it says %+v", c.log, note)
		}
	}
	other := mx1
	other.Cluster = "c2"
	if err := n.Write(other, 3); err != nil {
		t.Fatal(err)
	}
	if note, _ := n.Read(); note.Cluster != "c2" || note.Log != 3 {
		t.Errorf("of another cluster it says %+v", note)
	}
}

// TestNoteThatCannotBeWritten: where the node has a list of nodes, that stands for it.
func TestNoteThatCannotBeWritten(t *testing.T) {
	n := Notes{DataDir: filepath.Join(t.TempDir(), "gone", "data"), Name: "mx1", Listed: true}
	if err := n.Write(mx1, 5); err != nil {
		t.Errorf("with a list: %v", err)
	}
	n.Listed = false
	if err := n.Write(mx1, 5); err == nil || !strings.Contains(err.Error(), "[cluster] join") {
		t.Errorf("without a list: %v", err)
	}
}

// TestMayGoOn: a data directory that is older than the note is refused where this node is alone in
// a group.
func TestMayGoOn(t *testing.T) {
	other := mx1
	other.Cluster = "c2"
	broken := errors.New("no disk")
	for _, c := range []struct {
		name  string
		noted uint64 // 0: without a note
		self  wire.Identity
		end   uint64
		alone bool
		err   error
		says  string // ""; it goes on
	}{
		{"without a note", 0, mx1, 3, true, nil, ""},
		{"as new as the note", 9, mx1, 9, true, nil, ""},
		{"older, with others", 9, mx1, 8, false, nil, ""},
		{"older, alone", 9, mx1, 8, true, nil, "ends at entry 8, and had entry 9"},
		{"of another cluster", 9, other, 99, true, nil, "it is of cluster c2"},
		{"unread", 9, mx1, 8, false, broken, "no disk"},
	} {
		n := notesIn(t)
		if c.noted > 0 {
			if err := n.Write(mx1, c.noted); err != nil {
				t.Fatal(err)
			}
		}
		err := n.mayGoOn(c.self, c.end, func() (bool, error) { return c.alone, c.err })
		switch {
		case c.says == "":
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		case err == nil || !strings.Contains(err.Error(), c.says) ||
			api.IsPermanent(err) != (c.err == nil):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestNoteFollowsMembers: the note moves on when the control group, or another group of the node,
// gets another voter, and not else.
func TestNoteFollowsMembers(t *testing.T) {
	state := control.New()
	store := rowstest.New(state)
	editor := &control.Editor{State: state, Proposer: store, Now: time.Now}
	n := notesIn(t)
	k := NewNoteKeeper(NoteKeeperOptions{
		Notes: n, Self: mx1, State: state, Errorf: t.Errorf,
		Applied: func() uint64 { return store.Index },
	})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	noted := func() uint64 {
		k.Follow()
		if note, _ := n.Read(); note != nil {
			return note.Log
		}
		return 0
	}
	about := control.Node{Name: "mx1", Incarnation: 1}
	must(editor.Init(t.Context(), "c1", []byte("cert"), []byte("key"), about))
	about = control.Node{Name: "mx2", Address: "mx2:7025", Incarnation: 2}
	_, err := editor.AddMember(t.Context(), about)
	must(err)
	home, ok := state.HomeOf(1)
	if !ok {
		t.Fatal("mx1 has no home group")
	}
	must(editor.Bootstrapped(t.Context(), home))
	alone := control.Configuration{Voters: []uint16{1}, Index: 1}
	must(editor.Observed(t.Context(), control.ControlGroup, alone))
	if log := noted(); log != 0 {
		t.Errorf("alone it notes entry %d", log)
	}
	var last uint64
	for _, id := range []uint64{control.ControlGroup, home} {
		must(editor.Observed(t.Context(), id, control.Configuration{Voters: []uint16{1, 2},
			Index: 2}))
		log := noted()
		if log != store.Index || log <= last {
			t.Errorf("with another voter of group %d it notes entry %d of %d", id, log, store.Index)
		}
		last = log
		if _, err := editor.AddToken(t.Context(), time.Hour, 0); err != nil {
			t.Fatal(err)
		}
		if log := noted(); log != last {
			t.Errorf("without a change it notes entry %d, not %d", log, last)
		}
	}
}
