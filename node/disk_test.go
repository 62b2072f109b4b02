package node

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/node/internal/reserve"
	"github.com/postroad/postroad/operate/admin/api"
)

// TestLogMakesRoom: a log without room gets the reserve, one half at a time, and mail is refused
// from then on.
func TestLogMakesRoom(t *testing.T) {
	dir := t.TempDir()
	said := 0
	p := newPressure(dir, 0, inbound.NewSpace(inbound.Limits{}, netip.Addr.IsLoopback),
		func() int { return 3 }, func(string, ...any) { said++ })
	r := reserve.Of(dir)
	if err := r.Make(1 << 20); err != nil {
		t.Fatal(err)
	}
	alone := p.space.Left() * 3
	p.free.Store(new(100.0)) // as much as it has: no room is set aside again
	if !p.makeRoom() || r.Held() || !r.Left() {
		t.Error("the log does not get half of the reserve")
	}
	if f := p.Failure(); f == nil || f.Code != 452 {
		t.Errorf("mail on a full disk: %v", f)
	}
	if !p.makeRoom() || r.Left() || p.makeRoom() || said != 2 {
		t.Errorf("the log does not get the other half once; %d lines", said)
	}
	p.free.Store(new(0.0))
	p.look()
	if f := p.Failure(); f != nil || p.space.Left()*3 < alone/2 {
		t.Errorf("mail when there is room: %v, %d of %d octets", f, p.space.Left()*3, alone)
	}
}

// TestDiskTrouble: the kind of trouble with a disk decides whether a service manager starts the
// node again.
func TestDiskTrouble(t *testing.T) {
	on := func(err error) error {
		return fmt.Errorf(
			"starting store: %w",
			&fs.PathError{Op: "open", Path: "/data/x", Err: err},
		)
	}
	for _, c := range []struct {
		err  error
		exit int
		word string
	}{
		{on(syscall.ENOSPC), 75, "full"},
		{on(syscall.EDQUOT), 75, "full"},
		{on(syscall.EROFS), 74, "read-only"},
		{on(syscall.EIO), 74, "dmesg"},
		{on(syscall.EACCES), 77, "give /data"},
		{api.Permanent(on(syscall.EACCES)), 78, ""},
		{&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}, 0, ""},
		{errors.New("something else"), 0, ""},
	} {
		var said *api.Error
		err := DiskTrouble("/data", c.err)
		if !errors.As(err, &said) {
			said = &api.Error{}
		}
		if said.Exit != c.exit || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%v: exit status %d, want %d: %v", c.err, said.Exit, c.exit, err)
		}
	}
}
