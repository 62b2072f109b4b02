package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// bench is a disk whose control file is read when the test says so.
type bench struct {
	t    *testing.T
	fs   *FS
	dir  string
	died bool
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, dir: t.TempDir()}
	b.fs = newFS(filepath.Join(b.dir, "control"))
	b.fs.die = func() { b.died = true }
	return b
}

// say writes the control file and has it read.
func (b *bench) say(word string) {
	b.t.Helper()
	if err := os.WriteFile(b.fs.control, []byte(word+"\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.fs.poll()
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) create(name string) vfs.File {
	b.t.Helper()
	f, err := b.fs.Create(b.path(name), "")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { f.Close() })
	return f
}

func (b *bench) write(f vfs.File, text string) {
	b.t.Helper()
	if _, err := f.Write([]byte(text)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) content(name string) string {
	b.t.Helper()
	got, err := os.ReadFile(b.path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(got)
}

// A loss of power takes back what was not synced, overwritten octets and renamed files included,
// and nothing else.
func TestPowerLoss(t *testing.T) {
	b := newBench(t)
	f := b.create("log")
	b.write(f, "one two three")
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	over, err := b.fs.OpenReadWrite(b.path("log"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	for _, w := range []struct {
		text string
		off  int64
	}{{"TWO", 4}, {"two!three!four", 4}, {"ONE", 0}} {
		if _, err := over.WriteAt([]byte(w.text), w.off); err != nil {
			t.Fatal(err)
		}
	}
	g := b.create("new")
	b.write(g, "kept")
	if err := g.SyncData(); err != nil {
		t.Fatal(err)
	}
	b.write(g, " and lost")
	if err := b.fs.Rename(b.path("new"), b.path("renamed")); err != nil {
		t.Fatal(err)
	}
	b.say("powerloss")
	if got := b.content("log"); !b.died || got != "one two three" {
		t.Errorf("log: %q, died: %t", got, b.died)
	}
	if got := b.content("renamed"); got != "kept" {
		t.Errorf("renamed: %q", got)
	}
}

// A full disk refuses what needs room, and not what overwrites; when it has room again all goes on.
func TestFull(t *testing.T) {
	b := newBench(t)
	f := b.create("log")
	b.write(f, "0123456789")
	b.say("full")
	if _, err := f.Write([]byte("more")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("longer: %v", err)
	}
	if _, err := f.WriteAt([]byte("xx"), 4); err != nil {
		t.Errorf("in the middle: %v", err)
	}
	if _, err := b.fs.Create(b.path("other"), ""); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a new file: %v", err)
	}
	if u, err := b.fs.GetDiskUsage(b.dir); err != nil || u.AvailBytes != 0 {
		t.Errorf("usage %+v, %v", u, err)
	}
	b.say("")
	b.write(f, "more")
	if got := b.content("log"); got != "0123xx6789more" {
		t.Error(got)
	}
}

// One sync fails, and the next succeeds, as Linux has it: what makes it dangerous.
func TestFsync(t *testing.T) {
	b := newBench(t)
	f := b.create("log")
	b.write(f, "x")
	b.say("fsync")
	if err := f.SyncData(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the first: %v", err)
	}
	if err := f.SyncData(); err != nil {
		t.Errorf("the second: %v", err)
	}
}

// A disk that hangs lets go when the fault is over.
func TestStall(t *testing.T) {
	b := newBench(t)
	f := b.create("log")
	b.say("stall")
	done := make(chan error, 1)
	go func() { _, err := f.Write([]byte("x")); done <- err }()
	select {
	case <-done:
		t.Error("a write went through")
	case <-time.After(100 * time.Millisecond):
	}
	b.say("")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Notes are bounded: the oldest are forgotten.
func TestNotesAreBounded(t *testing.T) {
	b := newBench(t)
	b.fs.notes.limit = 1 << 20
	f := b.create("log")
	b.write(f, strings.Repeat("x", 64<<10))
	for i := range 100 {
		if _, err := f.WriteAt([]byte(strings.Repeat("y", 64<<10)), 0); err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
	}
	if b.fs.notes.held > 1<<20 || len(b.fs.notes.order) > 16 || len(b.fs.notes.order) < 8 {
		t.Errorf("%d octets in %d notes", b.fs.notes.held, len(b.fs.notes.order))
	}
	if err := f.Sync(); err != nil || b.fs.notes.held != 0 {
		t.Errorf("after a sync %d octets are held: %v", b.fs.notes.held, err)
	}
}
