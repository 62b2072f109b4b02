package logstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// segment is one file and what still lies in it. Guarded by Store.mu.
type segment struct {
	id     uint64
	file   *file
	window int   // entries of a group's window
	kept   int64 // octets of parts that the state refers to
	// afterFlush is the flush of the state that must have completed before the file may be written
	// again.
	afterFlush uint64
	waiting    bool // among the emptied
}

func (seg *segment) empty() bool { return seg.window == 0 && seg.kept == 0 }

// file is a segment's file for readers. It opens when first needed and may be closed while others
// read. The newest segment has a second handle, for writing (direct.go).
type file struct {
	fs   vfs.FS
	path string
	mu   sync.RWMutex
	f    vfs.File
}

const writeCategory vfs.DiskWriteCategory = "postroad-log"

func (f *file) open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f != nil {
		return nil
	}
	h, err := f.fs.Open(f.path)
	if err == nil {
		f.f = h
	}
	return err
}

func (f *file) readAt(p []byte, off int64) error {
	f.mu.RLock()
	for f.f == nil {
		f.mu.RUnlock()
		if err := f.open(); err != nil {
			return err
		}
		f.mu.RLock()
	}
	defer f.mu.RUnlock()
	_, err := f.f.ReadAt(p, off)
	return err
}

func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return nil
	}
	h := f.f
	f.f = nil
	return h.Close()
}

func segmentName(id uint64) string { return fmt.Sprintf("%010d.seg", id) }

func parseSegmentName(name string) (id uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, ".seg")
	if !ok || len(digits) != 10 {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, err == nil
}

func (s *Store) path(id uint64) string { return s.opts.FS.PathJoin(s.opts.Dir, segmentName(id)) }

func (s *Store) newFile(id uint64) *file { return &file{fs: s.opts.FS, path: s.path(id)} }

// rotate begins the next segment in a recycled file if there is one. The directory is synced before
// anything is written to the file: otherwise a crash could bring it back under its old name with
// new blocks in it.
func (s *Store) rotate() error {
	s.mu.Lock()
	seg := s.takeFreeLocked()
	s.mu.Unlock()
	id := s.w.lastID + 1
	var h vfs.File
	var err error
	if seg != nil {
		h, err = s.recycle(seg, id)
	} else {
		seg = &segment{id: id, file: s.newFile(id)}
		h, err = s.create(seg)
	}
	if err == nil {
		if err = s.dir.Sync(); err == nil {
			err = s.prepare(h)
		}
		if err != nil { // nothing is in it yet, and the room is needed
			err = errors.Join(err, h.Close(), s.opts.FS.Remove(s.path(id)))
		}
	}
	if err != nil {
		return fmt.Errorf("begin segment %d: %w", id, err)
	}
	old := s.w.f
	s.w.f, s.w.off, s.w.lastID = h, 0, id
	s.mu.Lock()
	s.w.seg = seg
	s.mu.segments[id] = seg
	s.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

func (s *Store) recycle(seg *segment, id uint64) (vfs.File, error) {
	if err := s.opts.FS.Rename(s.path(seg.id), s.path(id)); err != nil {
		return nil, err
	}
	// The readers' handle goes on with the file: those who still hold the old segment find what
	// does not verify.
	seg.file.mu.Lock()
	seg.file.path = s.path(id)
	seg.file.mu.Unlock()
	*seg = segment{id: id, file: seg.file}
	s.stats.recycled.Add(1)
	return s.opts.FS.OpenReadWrite(s.path(id), writeCategory)
}

func (s *Store) create(seg *segment) (vfs.File, error) {
	h, err := s.opts.FS.Create(seg.file.path, writeCategory)
	if err != nil {
		return nil, err
	}
	s.stats.created.Add(1)
	if !s.roomy() {
		return h, nil
	}
	if h.Preallocate(0, s.opts.SegmentSize) == nil {
		return h, nil
	}
	// Not every file system can. One that is full may keep what it gave before it failed: that goes
	// with the file.
	if err := errors.Join(h.Close(), s.opts.FS.Remove(seg.file.path)); err != nil {
		return nil, err
	}
	return s.opts.FS.Create(seg.file.path, writeCategory)
}

// roomy reports whether a whole segment may be set aside: as much again must be left for the state,
// or a start on a disk that is almost full would end for want of the room that its own log holds.
// Without it writing allocates.
func (s *Store) roomy() bool {
	u, err := s.opts.FS.GetDiskUsage(s.opts.Dir)
	return err != nil || u.AvailBytes >= 2*uint64(s.opts.SegmentSize)
}

// prepare writes the file's last page, so that later syncs need not write its length, and finds out
// whether it can be written directly.
func (s *Store) prepare(h vfs.File) error {
	page := alignedBuffer(pageSize)
	direct := setDirect(h, true)
	_, err := h.WriteAt(page, s.opts.SegmentSize-pageSize)
	if err != nil && direct {
		setDirect(h, false)
		_, err = h.WriteAt(page, s.opts.SegmentSize-pageSize)
	}
	return err
}
