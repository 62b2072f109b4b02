package eventloop

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestKeepAliveIsInherited: a connection asks its client's kernel whether it is still there.
func TestKeepAliveIsInherited(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rc, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range [][3]int{
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepIdle},
		{syscall.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepInterval},
		{syscall.IPPROTO_TCP, unix.TCP_KEEPCNT, keepCount},
		{syscall.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, userTimeout},
	} {
		var got int
		if failed := rc.Control(func(fd uintptr) {
			got, err = syscall.GetsockoptInt(int(fd), o[0], o[1])
		}); failed != nil || err != nil || got != o[2] {
			t.Errorf("option %d: %d, want %d (%v, %v)", o[1], got, o[2], failed, err)
		}
	}
}
