package maillog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// file is the event log's file: appended to, renamed when it is large. Its methods are called by
// one goroutine, except that anybody may set want and again.
type file struct {
	want atomic.Pointer[place] // what the next write goes to
	place
	f    *os.File // nil at first and after an error: the next write opens it again
	size int64
	// a regular file: a device, a pipe or a terminal cannot grow and is never renamed
	plain bool
	torn  bool        // the file does not end at the end of a line
	again atomic.Bool // somebody moved the file away: open it afresh
}

// place is where a file is, and how large and how many it may be. Nobody changes one.
type place struct {
	path string
	max  int64
	keep int
}

// touch reports whether a file can be written to, and makes it if need be.
func touch(path string) error {
	f := &file{place: place{path: path}}
	if err := f.open(); err != nil {
		return err
	}
	return f.close()
}

// open opens the file for appending. A crash or a full disk may have left half a line: it is ended
// first, so that the damage stays within that line.
func (f *file) open() error {
	osf, err := os.OpenFile(f.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := osf.Stat()
	if err != nil {
		return errors.Join(err, osf.Close())
	}
	f.f, f.size, f.plain, f.torn = osf, info.Size(), info.Mode().IsRegular(), false
	if f.size > 0 && f.plain {
		var last [1]byte
		if _, err := osf.ReadAt(last[:], f.size-1); err != nil {
			return errors.Join(err, f.close())
		}
		f.torn = last[0] != '\n'
	}
	return nil
}

// Write appends whole lines and rotates the file when it has become large.
func (f *file) Write(p []byte) (int, error) {
	again := f.again.Swap(false)
	if want := f.want.Load(); again || *want != f.place {
		f.place = *want
		if err := f.close(); err != nil {
			return 0, err
		}
	}
	if f.f == nil {
		if err := f.open(); err != nil {
			return 0, err
		}
	}
	if f.torn {
		n, err := f.f.Write([]byte{'\n'})
		f.size += int64(n)
		f.torn = n == 0
		if err != nil {
			return 0, errors.Join(err, f.close())
		}
	}
	n, err := f.f.Write(p)
	f.size += int64(n)
	if err != nil {
		return n, errors.Join(err, f.close()) // open looks how the file ends
	}
	if f.plain && f.size >= f.max {
		return n, f.rotate(time.Now())
	}
	return n, nil
}

func (f *file) close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}

// stamp sorts by time as text.
const stamp = "20060102T150405.000000000Z"

// rotate renames the file to a name with the time and removes the oldest of those.
func (f *file) rotate(now time.Time) error {
	if err := f.close(); err != nil {
		return err
	}
	base, ext := f.parts()
	if err := os.Rename(f.path, base+"-"+now.UTC().Format(stamp)+ext); err != nil {
		return err
	}
	if err := f.prune(); err != nil {
		return err
	}
	return f.open()
}

func (f *file) parts() (base, ext string) {
	ext = filepath.Ext(f.path)
	return strings.TrimSuffix(f.path, ext), ext
}

// prune removes the oldest rotated files beyond keep.
func (f *file) prune() error {
	old, err := f.rotated()
	if err != nil || f.keep <= 0 || len(old) <= f.keep {
		return err
	}
	var errs []error
	for _, path := range old[:len(old)-f.keep] {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}

// Rotated returns the files that the event log at path was renamed to, the oldest first.
func Rotated(path string) ([]string, error) { return (&file{place: place{path: path}}).rotated() }

// rotated returns the rotated files, the oldest first. Files that only look alike are left alone.
func (f *file) rotated() (paths []string, err error) {
	entries, err := os.ReadDir(filepath.Dir(f.path))
	if err != nil {
		return nil, err
	}
	base, ext := f.parts()
	for _, e := range entries {
		middle, ok := strings.CutPrefix(e.Name(), filepath.Base(base)+"-")
		middle, okExt := strings.CutSuffix(middle, ext)
		if _, err := time.Parse(stamp, middle); ok && okExt && err == nil {
			paths = append(paths, filepath.Join(filepath.Dir(f.path), e.Name()))
		}
	}
	slices.Sort(paths)
	return paths, nil
}
