package client

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/postroad/postroad/operate/admin/api"
)

// TestWhoMayNot: a socket that is there and shut is another matter than a node that is away.
func TestWhoMayNot(t *testing.T) {
	for errno, want := range map[syscall.Errno]struct {
		exit int
		hint string
	}{
		syscall.EACCES:       {api.ExitPermission, "admin.socket_group"},
		syscall.ENOENT:       {api.ExitUnavailable, "postroad serve"},
		syscall.ECONNREFUSED: {api.ExitUnavailable, "postroad serve"},
	} {
		err := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", errno)}
		e := New("/data/admin.sock", "").SaidBy("/etc/a.toml").noAnswer(t.Context(), err, false)
		if e.Exit != want.exit || !strings.Contains(e.Hint, want.hint) ||
			!strings.Contains(e.Message, "/data/admin.sock, where /etc/a.toml has it: ") {
			t.Errorf("%v: %+v", errno, e)
		}
	}
}
