package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// ErrInUse is wrapped by the error of Open when another process has the directory open.
var ErrInUse = errors.New("another process uses it")

// lockFile is in Options.Dir. Pebble has a lock of its own, which comes too late: to open the log
// is to write to it, beside whoever has it open.
const lockFile = "lock"

// lockDir keeps the directory for this process until closeStores. The system lets it go when the
// process ends.
func (n *Node) lockDir() (err error) {
	n.lock, err = n.opts.FS.Lock(n.opts.FS.PathJoin(n.opts.Dir, lockFile))
	var path *fs.PathError
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case errors.As(err, &path): // the file could not be opened
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES),
		!errors.As(err, &errno): // by this very process
		return fmt.Errorf("%w (%w)", ErrInUse, err)
	}
	return fmt.Errorf("lock the directory: %w", err)
}
