package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrivate(t *testing.T) {
	top, err := os.MkdirTemp("/tmp", "private-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	file, link := filepath.Join(top, "d", "key"), filepath.Join(top, "link")
	if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		top, dir, file os.FileMode
		open           bool
	}{
		{0o755, 0o755, 0o600, false}, {0o755, 0o755, 0o640, false}, {0o755, 0o755, 0o644, true},
		{0o755, 0o755, 0o604, true}, {0o755, 0o750, 0o644, false}, {0o700, 0o755, 0o644, false},
		{0o711, 0o711, 0o444, true}, {0o755, 0o755, 0o400, false},
	} {
		for path, mode := range map[string]os.FileMode{top: c.top, filepath.Dir(file): c.dir,
			file: c.file} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{file, link} {
			err := Private(path)
			if (err != nil) != c.open || err != nil &&
				!strings.Contains(err.Error(), "chmod 600 "+file) {
				t.Errorf("%o in %o in %o: %v", c.file, c.dir, c.top, err)
			}
		}
	}
	if err := Private(filepath.Join(top, "none")); err != nil {
		t.Errorf("there is no such file: %v", err)
	}
}
