// Package unixsock listens on unix sockets that only this user can open, and connects to them,
// however long their paths are.
package unixsock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// maxUnixPath is the longest path of a unix socket, less than sun_path's 108 octets.
const maxUnixPath = 100

// Listen listens on a unix socket that only this user can open. The socket is made in a
// directory of mode 0700 and moved into place, so that nobody can connect before its own mode is
// 0600; a socket that a crash left behind is replaced.
func Listen(path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".admin-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	temporary := filepath.Join(dir, "s")
	var l *net.UnixListener
	err = shortened(temporary, func(short string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the name that it would remove is gone
	if err = os.Chmod(temporary, 0o600); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Dial connects to a unix socket.
func Dial(path string) (c net.Conn, err error) {
	err = shortened(path, func(short string) (err error) {
		c, err = net.Dial("unix", short)
		return err
	})
	return c, err
}

// shortened calls fn with a path of the same file that fits into a socket's address: through an
// open descriptor of its directory when it is too long itself.
func shortened(path string, fn func(short string) error) error {
	if len(path) <= maxUnixPath {
		return fn(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	short := "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + filepath.Base(path)
	if err := fn(short); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
