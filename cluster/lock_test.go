package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestOpenTwice: who opens the directory of a node that runs is refused before anything in it is
// changed.
func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	n, err := Open(aloneOptions(dir, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.OpenUp(); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	if _, err := Open(aloneOptions(dir, nil)); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("it was changed:\n%s\nwas\n%s", after, before)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(aloneOptions(dir, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// listing names the segments of a node.
func listing(t *testing.T, dir string) (all string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "segments"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all += e.Name() + " " + info.ModTime().String() + "\n"
	}
	return all
}
