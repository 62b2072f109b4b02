package member

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postroad/postroad/cluster/control"
	rowstest "github.com/postroad/postroad/internal/testkit/rows"
)

func TestAddressesOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	b, err := OpenAddresses(dir)
	if err != nil || b.Of(1) != "" {
		t.Fatalf("%v, %q", err, b.Of(1))
	}
	for _, now := range []map[uint16]string{
		{1: "mx1:7025"},
		{1: "mx1:7025", 2: "mx2:7025"},
		{1: "other:7025"}, // a state that knows of no other yet
		{},
	} {
		if err := b.Keep(now); err != nil {
			t.Fatal(err)
		}
	}
	if b, err = OpenAddresses(dir); err != nil || b.Of(1) != "other:7025" ||
		b.Of(2) != "mx2:7025" || b.Of(3) != "" {
		t.Errorf("%v: %v", err, b.mu.known)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v: something was left: %v", err, files)
	}
	if err := os.WriteFile(filepath.Join(dir, addressesFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAddresses(dir); err == nil {
		t.Error("half a file is taken for a whole one")
	}
}

// TestAddressesOutliveAnOldState: rows from before a member moved, as after a crash, neither count
// nor are written down until they are known to be new.
func TestAddressesOutliveAnOldState(t *testing.T) {
	state := control.New()
	editor := &control.Editor{State: state, Proposer: rowstest.New(state), Now: time.Now}
	about := control.Node{Name: "mx1", Address: "old:7025", Incarnation: 1}
	if err := editor.Init(t.Context(), "c1", []byte("cert"), []byte("key"), about); err != nil {
		t.Fatal(err)
	}
	b, err := OpenAddresses(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	where := func(fresh bool) string {
		if err := b.Follow(state.Members(), fresh); err != nil {
			t.Fatal(err)
		}
		address, _ := b.Find(1, state, fresh)
		return address
	}
	if a := where(false); a != "old:7025" {
		t.Errorf("with an empty book it is at %q", a)
	}
	if err := b.Keep(map[uint16]string{1: "new:7025"}); err != nil { // it said so itself
		t.Fatal(err)
	}
	if a := where(false); a != "new:7025" {
		t.Errorf("while the state may be old it is at %q", a)
	}
	if a := where(true); a != "old:7025" || b.Of(1) != a {
		t.Errorf("when the state is known to be new it is at %q, and the book has %q", a, b.Of(1))
	}
	if a, ok := b.Find(2, state, true); ok {
		t.Errorf("who is in neither is at %q", a)
	}
}
