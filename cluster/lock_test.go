package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// TestInUseByProcess: whoever finds the directory in use is told by whom.
func TestInUseByProcess(t *testing.T) {
	const elsewhere = "POSTROAD_TEST_LOCKED"
	if dir := os.Getenv(elsewhere); dir != "" {
		_, err := Open(aloneOptions(dir, nil))
		if want := fmt.Sprintf("it is in use by process %d", os.Getppid()); !errors.Is(err,
			ErrInUse) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		return
	}
	dir := t.TempDir()
	n, err := Open(aloneOptions(dir, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	other := exec.Command(os.Args[0], "-test.run=^TestInUseByProcess$", "-test.v")
	other.Env = append(os.Environ(), elsewhere+"="+dir)
	out, err := other.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS: TestInUseByProcess") {
		t.Errorf("%v\n%s", err, out)
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
