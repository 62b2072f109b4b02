// Package reserve is room on the disk that is set aside while there is plenty, for a disk that is
// full.
package reserve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/postroad/postroad/operate/admin/api"
)

// Reserve is room on the disk that is set aside while there is plenty. A node that finds its disk
// full when it starts gives it up: so it can open its store, and deliver what it has, while it
// answers new mail with 452. One whose disk fills up while it runs, for whatever reason, gives up
// half of it for the log, so that it goes on or ends in good order, and then the other half. It is
// set aside again when there is room. It consists of several files, since a file system may lack
// those, too.
type Reserve struct{ dir string }

const (
	files = 16
	most  = 128 << 20 // octets: a segment of the log, and what Pebble writes
	share = 16        // at most one part in so many of the file system
	// startNeeds is the least room, in octets and files, with which a start is tried at all.
	startNeeds      = 4 << 20
	startNeedsFiles = 8
)

// Of returns the reserve of a data directory.
func Of(dataDir string) Reserve { return Reserve{filepath.Join(dataDir, "reserve")} }

// Size is how much is set aside on a file system.
func (Reserve) Size(s *syscall.Statfs_t) uint64 {
	return min(most, s.Blocks*uint64(s.Bsize)/share)
}

// Held reports whether the reserve is there. It is made in this order.
func (r Reserve) Held() bool { return r.has(files - 1) }

// Left reports whether some of the reserve is there.
func (r Reserve) Left() bool { return r.has(0) }

func (r Reserve) has(file int) bool {
	_, err := os.Stat(r.file(file))
	return err == nil
}

func (r Reserve) file(i int) string { return filepath.Join(r.dir, fmt.Sprint(i)) }

// GiveUpHalf gives up half of what was set aside, and reports whether there was anything.
func (r Reserve) GiveUpHalf() bool {
	from := 0
	if r.Held() {
		from = files / 2
	}
	given := false
	for i := files - 1; i >= from; i-- {
		given = os.Remove(r.file(i)) == nil || given
	}
	return given
}

// hollow reports whether the files are there and the room is not: a copy of the data directory was
// put back.
func (r Reserve) hollow() bool {
	info, err := os.Stat(r.file(0))
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Blocks == 0
}

// Make sets the room aside.
func (r Reserve) Make(octets uint64) error {
	err := os.MkdirAll(r.dir, 0o700)
	for i := 0; i < files && err == nil; i++ {
		var f *os.File
		if f, err = os.OpenFile(r.file(i), os.O_CREATE|os.O_WRONLY|os.O_TRUNC,
			0o600); err == nil {
			err = errors.Join(allocate(f, int64(octets/files)), f.Close())
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("set room aside: %w", err), r.GiveUp())
	}
	return nil
}

// GiveUp gives up all of it.
func (r Reserve) GiveUp() error { return os.RemoveAll(r.dir) }

// Room makes sure that there is enough for a start: it gives the reserve up when there is not.
func (r Reserve) Room(dataDir string, logf func(string, ...any)) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dataDir, &s); err != nil {
		return err
	}
	if r.hollow() {
		if err := r.GiveUp(); err != nil {
			return err
		}
	}
	if Free(&s) < r.Size(&s) && r.Left() {
		logf(
			"%d MiB are free on the file system of %s: the room set aside is given up, to "+
				"start with",
			Free(&s)>>20,
			dataDir,
		)
		if err := r.GiveUp(); err != nil {
			return err
		}
		if err := syscall.Statfs(dataDir, &s); err != nil {
			return err
		}
	}
	switch {
	case s.Flags&readOnly != 0:
		return &fs.PathError{Op: "write", Path: dataDir, Err: syscall.EROFS}
	case Free(&s) < startNeeds:
		return &api.Error{Exit: api.ExitTemporary, Hint: FullHint(dataDir),
			Message: fmt.Sprintf(
				"%d KiB are free on the file system of %s, and a start needs %d",
				Free(&s)>>10,
				dataDir,
				startNeeds>>10,
			)}
	case s.Files > 0 && s.Ffree < startNeedsFiles:
		return &api.Error{Exit: api.ExitTemporary, Hint: FullHint(dataDir),
			Message: fmt.Sprintf(
				"the file system of %s has room for %d more files, and a start needs %d",
				dataDir,
				s.Ffree,
				startNeedsFiles,
			)}
	}
	return nil
}

// readOnly is ST_RDONLY of statvfs(3).
const readOnly = 1

// Free returns the octets that are free on a file system.
func Free(s *syscall.Statfs_t) uint64 { return s.Bavail * uint64(s.Bsize) }

// FullHint says what to do about a full disk.
func FullHint(dir string) string {
	return "the disk of " + dir +
		" is full: make room, or enlarge it; a service manager starts the node until there is room"
}
