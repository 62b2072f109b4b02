// Package unixsock listens on unix sockets that only this user, or a group that it names, can open,
// and connects to them, however long their paths are.
package unixsock

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
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

// Share lets the members of a group open a socket, too, and go through its directory to it; nil
// takes the right to open it back. Only this user and root may call it, and this user must be in
// the group.
func Share(path string, group *int) error {
	if group == nil {
		return os.Chmod(path, 0o600)
	}
	if err := give(path, *group); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o001 != 0:
	case mode&0o010 != 0 && groupOf(info) == *group:
	case mode&0o060 != 0 && groupOf(info) != *group:
		return fmt.Errorf("%s is open to another group (%d): close it to that, or give it the "+
			"new one", dir, groupOf(info))
	default:
		if err := letThrough(dir, mode, *group); err != nil {
			return err
		}
	}
	return os.Chmod(path, 0o660)
}

// letThrough lets a group through a directory. Those below it, which may have relied on it being
// shut, are shut before.
func letThrough(dir string, mode fs.FileMode, group int) error {
	below, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range below {
		if e.IsDir() {
			if err := os.Chmod(filepath.Join(dir, e.Name()), 0o700); err != nil {
				return err
			}
		}
	}
	if err := give(dir, group); err != nil {
		return err
	}
	return os.Chmod(dir, mode|0o010)
}

// give makes a file that of a group. A unit of systemd may forbid the call, so it is not made in
// vain.
func give(path string, group int) error {
	info, err := os.Lstat(path)
	if err != nil || groupOf(info) == group {
		return err
	}
	return os.Lchown(path, -1, group)
}

// groupOf is -1 where files have no group.
func groupOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Gid)
	}
	return -1
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
