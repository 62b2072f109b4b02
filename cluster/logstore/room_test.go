package logstore

import (
	"os"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// scantFS is a file system with little room, which keeps what a preallocation got before it failed.
type scantFS struct {
	vfs.FS
	says  int64 // free, as it says
	room  int64 // free in truth, for preallocation
	held  map[string]int64
	write error // of every write
}

type scantFile struct {
	vfs.File
	fs   *scantFS
	path string
}

func (f *scantFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: uint64(f.says)}, nil
}

func (f *scantFS) Create(path string, c vfs.DiskWriteCategory) (vfs.File, error) {
	h, err := f.FS.Create(path, c)
	return &scantFile{h, f, path}, err
}

func (f *scantFS) Remove(path string) error {
	delete(f.held, path)
	return f.FS.Remove(path)
}

func (f *scantFile) Preallocate(_, octets int64) error {
	f.fs.held[f.path] = min(octets, f.fs.room)
	if octets > f.fs.room {
		return syscall.ENOSPC
	}
	return nil
}

func (f *scantFile) WriteAt(p []byte, off int64) (int, error) {
	if f.fs.write != nil {
		return 0, f.fs.write
	}
	return f.File.WriteAt(p, off)
}

// A segment is preallocated only where as much again stays free, and the log works without it. What
// a failed preallocation got is given back.
func TestSegmentsLeaveRoom(t *testing.T) {
	for _, c := range []struct {
		what             string
		says, room, held int64
	}{
		{"plenty", 2 * testSegment, 2 * testSegment, testSegment},
		{"none for the rest", 2*testSegment - 1, 2 * testSegment, 0},
		{"less than it says", 2 * testSegment, testSegment - 1, 0},
	} {
		fs := &scantFS{FS: vfs.NewMem(), says: c.says, room: c.room, held: map[string]int64{}}
		s := open(t, fs)
		store(t, s.Group(1), 1, 9, 1)
		closeStore(t, s)
		if got := fs.held[s.path(1)]; got != c.held {
			t.Errorf("%s: the segment has %d octets, want %d", c.what, got, c.held)
		}
		s = open(t, fs)
		expect(t, s.Group(1), 1, 9, func(uint64) uint64 { return 1 })
		closeStore(t, s)
	}
}

// A segment that could not be begun is gone.
func TestUnbegunSegmentGoes(t *testing.T) {
	fs := &scantFS{
		FS: vfs.NewMem(), says: 9 * testSegment, room: 9 * testSegment, held: map[string]int64{},
	}
	s := open(t, fs)
	store(t, s.Group(1), 1, 9, 1)
	closeStore(t, s)
	s = open(t, fs)
	fs.write = syscall.ENOSPC
	if err := s.Group(1).StoreLogs(entries(10, 10, 1)); err == nil {
		t.Fatal("an entry is stored on a full disk")
	}
	_ = s.Close()
	if _, err := fs.Stat(s.path(2)); err == nil {
		t.Error("the segment that could not be begun is still there")
	}
}

// A disk that is full is asked for room that was set aside, before the store is closed for want of
// it: in the midst of a segment and at the begin of one.
func TestRoomIsMade(t *testing.T) {
	for _, what := range []string{"block", "segment"} {
		fs := &scantFS{FS: vfs.NewMem(), says: 9 * testSegment, room: 9 * testSegment,
			held: map[string]int64{}}
		asked := 0
		s, err := Open(Options{
			FS: fs, Dir: "log", SegmentSize: testSegment, RingSize: 16 << 10,
			OnFull: func() bool {
				asked++
				if asked == 1 {
					fs.write = nil
				}
				return asked == 1
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		next := uint64(1)
		if what == "block" {
			store(t, s.Group(1), 1, 9, 1)
			next = 10
		}
		fs.write = &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
		if err := s.Group(1).StoreLogs(entries(next, next, 1)); err != nil || asked != 1 {
			t.Errorf("%s: asked %d times for room: %v", what, asked, err)
		}
		fs.write = syscall.EDQUOT
		if err := s.Group(1).StoreLogs(entries(next+1, next+1, 1)); err == nil || asked != 2 {
			t.Errorf("%s: asked %d times, and an entry is stored on a full disk", what, asked)
		}
		_ = s.Close()
	}
}
