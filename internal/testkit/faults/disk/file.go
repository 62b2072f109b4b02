package disk

import (
	"errors"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// file is an open file. What it writes is noted, unless it is a reader's or a directory.
type file struct {
	vfs.File
	fs    *FS
	noted *noted // nil: not for writing
	pos   int64  // of Write, which is never called by two goroutines at once
}

func (fs *FS) file(f vfs.File, err error, name string, fresh bool) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	n, err := fs.notes.open(name, fresh)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &file{File: f, fs: fs, noted: n}, nil
}

func (f *file) Read(p []byte) (int, error) {
	defer f.fs.begin()()
	return f.File.Read(p)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	defer f.fs.begin()()
	return f.File.ReadAt(p, off)
}

func (f *file) Write(p []byte) (int, error) {
	defer f.fs.begin()()
	if err := f.before(f.pos, len(p)); err != nil {
		return 0, err
	}
	n, err := f.File.Write(p)
	f.pos += int64(n)
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	defer f.fs.begin()()
	if err := f.before(off, len(p)); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

// before is called before octets are written: it notes what they replace, or says that there is no
// room.
func (f *file) before(off int64, n int) error {
	if f.noted == nil {
		return os.ErrPermission
	}
	size, err := f.noted.size()
	if err != nil {
		return err
	}
	if f.fs.is(full) && off+int64(n) > size {
		return syscall.ENOSPC
	}
	return f.fs.notes.add(f.noted, off, n, size)
}

func (f *file) Preallocate(off, length int64) error {
	defer f.fs.begin()()
	if f.fs.is(full) {
		return syscall.ENOSPC
	}
	return f.File.Preallocate(off, length)
}

func (f *file) Sync() error     { return f.sync(f.File.Sync) }
func (f *file) SyncData() error { return f.sync(f.File.SyncData) }

// sync syncs by do and forgets what was noted before it began.
func (f *file) sync(do func() error) error {
	defer f.fs.begin()()
	if err := f.fs.syncs(); err != nil {
		return err
	}
	at := f.fs.notes.now()
	err := do()
	if err == nil && f.noted != nil {
		f.fs.notes.synced(f.noted, at)
	}
	return err
}

func (f *file) SyncTo(length int64) (bool, error) {
	defer f.fs.begin()()
	if err := f.fs.syncs(); err != nil {
		return false, err
	}
	at := f.fs.notes.now()
	all, err := f.File.SyncTo(length)
	if err == nil && all && f.noted != nil {
		f.fs.notes.synced(f.noted, at)
	}
	return all, err
}
