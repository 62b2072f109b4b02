package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ErrInUse is wrapped by the error of Open when a process has the directory open.
var ErrInUse = errors.New("it is in use")

// lockFile is in Options.Dir. Pebble has a lock of its own, which comes too late: to open the log
// is to write to it, beside whoever has it open.
const lockFile = "lock"

// lockDir keeps the directory for this process until closeStores. The system lets it go when the
// process ends.
func (n *Node) lockDir() (err error) {
	path := n.opts.FS.PathJoin(n.opts.Dir, lockFile)
	n.lock, err = n.opts.FS.Lock(path)
	var unopened *fs.PathError
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unopened):
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES):
		if pid := holder(path); pid > 0 {
			return fmt.Errorf("%w by process %d", ErrInUse, pid)
		}
		return fmt.Errorf("%w by another process", ErrInUse)
	case !errors.As(err, &errno):
		return fmt.Errorf("%w by this very process (%w)", ErrInUse, err)
	}
	return fmt.Errorf("lock the directory: %w", err)
}

// holder is the process that has locked a file; 0: it is not known, because it has gone or lives in
// a container of its own. It must not be called by who has the file locked: to close any descriptor
// of it unlocks it (fcntl(2)).
func holder(path string) int32 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_RDLCK} // of the whole file
	if syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock) != nil || lock.Type == syscall.F_UNLCK {
		return 0
	}
	return lock.Pid
}
