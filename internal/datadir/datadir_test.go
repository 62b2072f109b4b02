package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/postroad/postroad/operate/admin/api"
)

// TestStoreExists: a directory that is empty, or missing, has no store; one that cannot be looked
// into may have one.
func TestStoreExists(t *testing.T) {
	dir := t.TempDir()
	for _, none := range []string{dir, filepath.Join(dir, "missing")} {
		if used, err := StoreExists(none); used || err != nil {
			t.Errorf("%s: %v, %v", none, used, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "segments"), 0o700); err != nil {
		t.Fatal(err)
	}
	if used, err := StoreExists(dir); !used || err != nil {
		t.Errorf("with segments: %v, %v", used, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if used, err := StoreExists(file); used || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("below a file: %v, %v", used, err)
	}
}

// TestDamaged: what a file says is for the operator, that it cannot be read for the disk's.
func TestDamaged(t *testing.T) {
	if err := Damaged(nil); err != nil {
		t.Error(err)
	}
	unread := fmt.Errorf("addresses: %w", &fs.PathError{Op: "open", Path: "x", Err: syscall.EIO})
	if err := Damaged(unread); err != unread {
		t.Errorf("a file that cannot be read: %v", err)
	}
	var said *api.Error
	if err := Damaged(errors.New("x is empty")); !errors.As(err, &said) ||
		said.Exit != api.ExitConfig || said.Message != "x is empty" {
		t.Errorf("a file that is empty: %#v", err)
	}
}
