package kit

import (
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/testkit/confine"
)

// Main is every package's TestMain. What the tests start ends with them.
func Main(m *testing.M) {
	os.Exit(confine.Main(func() int {
		defer programs.remove()
		return m.Run()
	}))
}

// programs are those that this process has asked for, by their build tags.
var programs builds

type builds struct {
	sync.Mutex
	dir    string // of this process
	byTags map[string]string
}

// Binary builds the program once per set of build tags and returns its path. POSTROAD_PROGRAM names
// another one to test instead of the one without tags: a scenario that shows what was mended fails
// with the one before.
func Binary(t testing.TB, tags string) string {
	t.Helper()
	if path := os.Getenv("POSTROAD_PROGRAM"); path != "" && tags == "" {
		return path
	}
	programs.Lock()
	defer programs.Unlock()
	path := programs.byTags[tags]
	if path == "" {
		var err error
		if path, err = programs.build(tags); err != nil {
			t.Fatalf("building postroad: %v", err)
		}
		if programs.byTags == nil {
			programs.byTags = map[string]string{}
		}
		programs.byTags[tags] = path
	}
	return path
}

// build builds the program in a folder that all test binaries of this tree share, one after the
// other: go build finds the program of the one before and only looks whether it is still up to
// date. The path that it returns stays the same program when the tree changes.
func (b *builds) build(tags string) (path string, err error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	tree := fnv.New64a()
	tree.Write(root)
	shared := filepath.Join(os.TempDir(), fmt.Sprintf("postroad-e2e-%d-%x", os.Getuid(),
		tree.Sum64()))
	if err := os.MkdirAll(shared, 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(filepath.Join(shared, "lock-"+tags))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if err := consulted(strings.TrimSpace(string(root))); err != nil {
		return "", err
	}
	sweep(shared)
	program := filepath.Join(shared, "postroad-"+tags)
	cmd := exec.Command("go", "build", "-tags", tags, "-o", program, "./cmd/postroad")
	cmd.Dir = strings.TrimSpace(string(root))
	// On one file system go build renames what it has built: links to the one before stay that one.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTMPDIR="+shared)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp(shared, "run-"); err != nil {
			return "", err
		}
	}
	path = filepath.Join(b.dir, "postroad-"+tags)
	return path, os.Link(program, path)
}

// consulted looks at the sources of the program, so that go test does not take the result of a test
// for today's when they have changed since: it notes what a test looks at, not what a command does
// that the test runs.
func consulted(root string) error {
	return filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") || path == filepath.Join(root, "e2e")):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			_, err = os.Stat(path)
		}
		return err
	})
}

// sweep removes what runs that were killed have left: folders of a day ago.
func sweep(shared string) {
	left, _ := filepath.Glob(filepath.Join(shared, "*-*"))
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && info.IsDir() &&
			time.Since(info.ModTime()) > 24*time.Hour {
			os.RemoveAll(path)
		}
	}
}

// remove removes what belongs to this process.
func (b *builds) remove() {
	if b.dir != "" {
		os.RemoveAll(b.dir)
	}
}
