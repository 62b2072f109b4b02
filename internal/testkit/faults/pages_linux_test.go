package faults

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestDropUnsynced: what was written and not synced is empty afterwards, and nothing else.
func TestDropUnsynced(t *testing.T) {
	n := &Node{Name: "n1", Data: t.TempDir()}
	for _, name := range []string{"synced", "unsynced"} {
		f, err := os.Create(filepath.Join(n.Data, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(name); err != nil {
			t.Fatal(err)
		}
		if name == "synced" {
			err = f.Sync()
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	names, err := n.DropUnsynced()
	if errors.Is(err, os.ErrPermission) {
		t.Skip("skipped: only root may look at pages")
	}
	if err != nil {
		t.Fatal(err)
	}
	kept, _ := os.ReadFile(filepath.Join(n.Data, "synced"))
	if string(kept) != "synced" {
		t.Errorf("what was synced is %q", kept)
	}
	if lost, _ := os.ReadFile(filepath.Join(n.Data, "unsynced")); len(lost) == 0 {
		if !slices.Equal(names, []string{"unsynced"}) {
			t.Errorf("named are %v", names)
		}
	} else if len(names) > 0 {
		t.Errorf("named are %v, and they are whole", names)
	} else {
		t.Skip("skipped: this file system writes at once, or has no pages (tmpfs)")
	}
}
