// Package disk is a disk that fails as told, for builds with the tag `faults`: a file system below
// the node's storage that looks at a control file many times a second. The file holds one word:
// "stall" (reads, writes and syncs wait), "full" (what would make a file longer fails with ENOSPC),
// "fsync" (the next sync fails with EIO, once) or "powerloss"; absent or empty, nothing is wrong.
//
// On "powerloss" everything that was written and not synced is taken back and the process kills
// itself; how often that was is kept beside the control file, so that a program can tell it from a
// kill. For that each write first notes what it replaces; a sync forgets the notes of its file.
// Names (create, rename, remove) are kept as they are: what unsynced directories do is tried by
// internal/testkit/crash. What is not synced for long is forgotten too, oldest first, when the
// notes grow beyond undoLimit: a kernel would have written it by then.
package disk

import (
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// mode is what is wrong.
type mode int32

const (
	fine mode = iota
	stall
	full
	fsync
	spent // fsync, after the one that failed
	powerloss
)

var modes = map[string]mode{"": fine, "stall": stall, "full": full, "fsync": fsync,
	"powerloss": powerloss}

// pollInterval is how often the control file is read.
const pollInterval = 20 * time.Millisecond

// FS is the file system. Safe for use by several goroutines, as the one below is.
type FS struct {
	vfs.FS
	control string
	mode    atomic.Int32
	die     func() // ends the process, and does not return
	word    string // owned by the poller

	// power is held for reading by each operation, and for writing once, by the loss of power.
	power sync.RWMutex
	notes notes
}

var _ vfs.FS = (*FS)(nil)

// New returns the operating system's file system under the control of a file.
func New(control string) *FS {
	fs := newFS(control)
	fs.die = func() {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	fs.poll()
	go func() { // for as long as the process
		for range time.Tick(pollInterval) {
			fs.poll()
		}
	}()
	return fs
}

func newFS(control string) *FS {
	return &FS{FS: vfs.Default, control: control, notes: notes{files: map[string]*noted{},
		limit: undoLimit}}
}

// poll looks at the control file.
func (fs *FS) poll() {
	b, err := os.ReadFile(fs.control)
	word := strings.TrimSpace(string(b))
	if err != nil {
		word = ""
	}
	if word == fs.word {
		return
	}
	fs.word = word
	m := modes[word]
	if m == powerloss {
		fs.power.Lock() // for ever
		fs.notes.undo()
		if err := fs.lostPower(); err != nil {
			panic(err)
		}
		fs.die()
	}
	fs.mode.Store(int32(m))
}

// PowerLosses is how often power was lost so far: what the kernel's boot ID is to a real loss of
// power.
func (fs *FS) PowerLosses() int64 {
	info, err := os.Stat(fs.control + ".losses")
	if err != nil {
		return 0
	}
	return info.Size()
}

func (fs *FS) lostPower() error {
	f, err := os.OpenFile(fs.control+".losses", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(".")
	return errors.Join(err, f.Close())
}

func (fs *FS) is(m mode) bool { return mode(fs.mode.Load()) == m }

// begin waits while the disk hangs, and enters an operation. The function that it returns leaves
// it.
func (fs *FS) begin() (end func()) {
	for fs.is(stall) {
		time.Sleep(pollInterval)
	}
	fs.power.RLock()
	return fs.power.RUnlock
}

// synced is asked before each sync: an error is its result.
func (fs *FS) syncs() error {
	if fs.mode.CompareAndSwap(int32(fsync), int32(spent)) {
		return syscall.EIO
	}
	return nil
}

// Create makes a file.
func (fs *FS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	defer fs.begin()()
	if fs.is(full) {
		return nil, syscall.ENOSPC
	}
	f, err := fs.FS.Create(name, c)
	return fs.file(f, err, name, true)
}

// OpenReadWrite opens a file for writing.
func (fs *FS) OpenReadWrite(
	name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption,
) (vfs.File, error) {
	defer fs.begin()()
	f, err := fs.FS.OpenReadWrite(name, c, opts...)
	return fs.file(f, err, name, false)
}

// ReuseForWrite renames a file and opens it for writing.
func (fs *FS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	defer fs.begin()()
	f, err := fs.FS.ReuseForWrite(old, name, c)
	if err == nil {
		fs.notes.rename(old, name)
	}
	return fs.file(f, err, name, false)
}

// Open opens a file for reading.
func (fs *FS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	defer fs.begin()()
	f, err := fs.FS.Open(name, opts...)
	if err != nil {
		return nil, err
	}
	return &file{File: f, fs: fs}, nil
}

// OpenDir opens a directory for syncing.
func (fs *FS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &file{File: f, fs: fs}, nil
}

// Remove removes a file.
func (fs *FS) Remove(name string) error {
	defer fs.begin()()
	fs.notes.forget(name)
	return fs.FS.Remove(name)
}

// Rename renames a file.
func (fs *FS) Rename(old, name string) error {
	defer fs.begin()()
	err := fs.FS.Rename(old, name)
	if err == nil {
		fs.notes.rename(old, name)
	}
	return err
}

// GetDiskUsage says that a full disk is full.
func (fs *FS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	u, err := fs.FS.GetDiskUsage(path)
	if fs.is(full) {
		u.UsedBytes, u.AvailBytes = u.TotalBytes, 0
	}
	return u, err
}

// Unwrap returns the file system below.
func (fs *FS) Unwrap() vfs.FS { return fs.FS }
