package unixsock

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// another is a group to which this process may give its files, and which is not its own.
func another(t *testing.T) int {
	t.Helper()
	if os.Geteuid() == 0 {
		return 4711
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		if g != os.Getegid() {
			return g
		}
	}
	const why = "this user is in no group but its own"
	if os.Getenv("POSTROAD_E2E") == "require" {
		t.Fatal("POSTROAD_E2E=require: " + why)
	}
	t.Skip(why)
	return 0
}

// TestShare: a group can open the socket, go through its directory and see nothing else there.
func TestShare(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, d := range []string{dir, filepath.Join(dir, "state")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "admin.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	must := func(path string, mode os.FileMode, group int) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode || group >= 0 && groupOf(info) != group {
			t.Errorf("%s: %v of group %d, %v; want %v of %d", path, info.Mode().Perm(),
				groupOf(info), err, mode, group)
		}
	}
	must(path, 0o600, -1)
	group := another(t)
	for range 2 {
		if err := Share(path, &group); err != nil {
			t.Fatal(err)
		}
		must(path, 0o660, group)
		must(dir, 0o710, group)
		must(filepath.Join(dir, "state"), 0o700, -1)
	}
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := Share(path, nil); err != nil {
		t.Fatal(err)
	}
	must(path, 0o600, group)
	own := os.Getegid()
	if err := Share(path, &own); err != nil { // another one in its place
		t.Fatal(err)
	}
	must(path, 0o660, own)
	must(dir, 0o710, own)
	if err := os.Chmod(dir, 0o755); err != nil { // whoever opened it further meant that
		t.Fatal(err)
	}
	if err := Share(path, &group); err != nil {
		t.Fatal(err)
	}
	must(path, 0o660, group)
	must(dir, 0o755, own)
}

// TestShareTakesNoRights: a directory that is another group's stays so.
func TestShareTakesNoRights(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "admin.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	group := another(t)
	if err := Share(path, &group); err == nil ||
		!strings.Contains(err.Error(), "is open to another group") {
		t.Errorf("%v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestLongPath: a socket's address has no room for every path.
func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "admin.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	(<-accepted).Close()
}
