package logstore

import (
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
	// afterFlush is the flush that must have completed before the file may be written again; 0 unless emptied.
	afterFlush uint64
}

func (seg *segment) empty() bool { return seg.window == 0 && seg.kept == 0 }

// file is a vfs.File that opens when first needed and may be closed while others read.
type file struct {
	fs   vfs.FS
	path string
	mu   sync.RWMutex
	f    vfs.File
}

const writeCategory vfs.DiskWriteCategory = "postroad-log"

func (f *file) open() (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f != nil {
		return f.f, nil
	}
	h, err := f.fs.OpenReadWrite(f.path, writeCategory)
	if err == nil {
		f.f = h
	}
	return h, err
}

func (f *file) readAt(p []byte, off int64) error {
	f.mu.RLock()
	for f.f == nil {
		f.mu.RUnlock()
		if _, err := f.open(); err != nil {
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

// rotate begins the next segment in a recycled file if there is one. The directory is synced before anything is written to
// the file: otherwise a crash could bring it back under its old name with new blocks in it.
func (s *Store) rotate() error {
	s.mu.Lock()
	seg := s.takeFreeLocked()
	s.mu.Unlock()
	id := s.w.lastID + 1
	var err error
	if seg != nil {
		err = s.recycle(seg, id)
	} else {
		seg, err = s.create(id)
	}
	if err != nil {
		return fmt.Errorf("begin segment %d: %w", id, err)
	}
	if err := s.dir.Sync(); err != nil {
		return fmt.Errorf("sync segment directory: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.segments[id] = seg
	old := s.w.seg
	s.w.seg, s.w.off, s.w.lastID = seg, 0, id
	if old != nil {
		s.noteEmptyLocked(old)
	}
	return nil
}

func (s *Store) recycle(seg *segment, id uint64) error {
	if _, err := seg.file.open(); err != nil {
		return err
	}
	if err := s.opts.FS.Rename(s.path(seg.id), s.path(id)); err != nil {
		return err
	}
	// The handle goes on with the file. Readers that still hold the old segment find what does not verify.
	seg.file.mu.Lock()
	seg.file.path = s.path(id)
	seg.file.mu.Unlock()
	*seg = segment{id: id, file: seg.file}
	return nil
}

// create makes a new file of full size, so that later syncs need not write its length. Only its last page is written.
func (s *Store) create(id uint64) (*segment, error) {
	h, err := s.opts.FS.Create(s.path(id), writeCategory)
	if err != nil {
		return nil, err
	}
	seg := &segment{id: id, file: s.newFile(id)}
	seg.file.f = h
	if err := h.Preallocate(0, s.opts.SegmentSize); err != nil {
		// Not every file system can; then blocks extend the file.
		return seg, nil
	}
	_, err = h.WriteAt(make([]byte, pageSize), s.opts.SegmentSize-pageSize)
	return seg, err
}
