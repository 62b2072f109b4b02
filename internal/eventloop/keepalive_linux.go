package eventloop

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// A client that has vanished, without a word of its kernel's, is known after this: a POP3 session
// keeps its mailbox from others, and its own deadline is ten minutes.
const (
	keepIdle     = 60 // seconds without a word of the client, after which its kernel is asked
	keepInterval = 10 // seconds between two questions
	keepCount    = 3  // questions
	// milliseconds in which what is to be sent must be taken: by a client that reads nothing for as
	// long, too
	userTimeout = 300_000
)

// keepAlive sets up the socket of a listener; the connections inherit it.
func keepAlive(_, _ string, rc syscall.RawConn) (err error) {
	set := rc.Control(func(fd uintptr) {
		for _, o := range [][3]int{
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{syscall.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepIdle},
			{syscall.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepInterval},
			{syscall.IPPROTO_TCP, unix.TCP_KEEPCNT, keepCount},
			{syscall.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, userTimeout},
		} {
			err = errors.Join(err, syscall.SetsockoptInt(int(fd), o[0], o[1], o[2]))
		}
	})
	return errors.Join(set, err)
}
