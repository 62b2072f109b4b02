package eventloop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFull: over the limit a connection gets its line and is closed; when there is room again, the
// next is served.
func TestFull(t *testing.T) {
	var f fake
	closed := closes(&f)
	s := serve(t, Options{MaxConnections: 3}, ListenerOptions{Full: []byte("421 too many\r\n")}, f)
	var held []net.Conn
	for range 3 {
		c := s.dial(t)
		ask(t, c, "x", "x")
		held = append(held, c)
	}
	for range 5 {
		if got, err := io.ReadAll(s.dial(t)); err != nil || string(got) != "421 too many\r\n" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	ask(t, held[0], "still", "still")
	held[0].Close()
	wait(t, closed)
	for s.Connections() == 3 { // Closed comes a moment before the place is free
		runtime.Gosched()
	}
	ask(t, s.dial(t), "in", "in")
	if st := s.Stats(); st.Refused != 5 || st.Accepted != 4 {
		t.Fatalf("%+v", st)
	}
}

func TestConnectionCap(t *testing.T) {
	for _, tc := range []struct{ limit, reserve, want, cap int }{
		{1024, 0, 0, 768},
		{1024, 100, 0, 924},
		{1024, 100, 500, 500},
		{1024, 100, 5000, 924},
		{1024, 1024, 10, 0},
		{100, 2000, 0, 0},
	} {
		got, err := connectionCap(tc.limit, tc.reserve, tc.want)
		if got != tc.cap || (err == nil) != (tc.cap > 0) {
			t.Errorf("%+v: got %d, %v", tc, got, err)
		}
	}
}

// TestZone: the handler sees the zone of a link-local address, gnet does not (see forgetZone).
func TestZone(t *testing.T) {
	a := &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 25, Zone: "eth0"}
	if got := addrPort(a).String(); got != "[fe80::1%eth0]:25" {
		t.Errorf("address %s", got)
	}
	if forgetZone(a); a.Zone != "" {
		t.Error("gnet would see the zone")
	}
	if got := addrPort(&net.TCPAddr{IP: net.ParseIP("192.0.2.1"),
		Port: 1}).String(); got != "192.0.2.1:1" {
		t.Errorf("address %s", got)
	}
}

// TestAddresses: both ends agree on who is who, in the form that policy rules are written in.
func TestAddresses(t *testing.T) {
	conns := make(chan *Conn, 1)
	s := serve(t, Options{}, ListenerOptions{}, fake{open: func(c *Conn) { conns <- c }})
	nc := s.dial(t)
	c := wait(t, conns)
	if c.RemoteAddr().String() != nc.LocalAddr().String() || c.LocalAddr().String() != s.addr {
		t.Errorf("remote %v, local %v", c.RemoteAddr(), c.LocalAddr())
	}
}

// failing is a listener whose first accepts fail.
type failing struct {
	net.Listener
	left atomic.Int32
}

func (l *failing) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// TestAcceptErrors: a failed accept slows down and does not end.
func TestAcceptErrors(t *testing.T) {
	s := serve(t, Options{}, ListenerOptions{}, fake{})
	inner, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &failing{Listener: inner}
	l.left.Store(9)
	if _, err := s.Serve(l,
		ListenerOptions{New: func(c *Conn) Handler { return &fake{c: c} }}); err != nil {
		t.Fatal(err)
	}
	s.addr = inner.Addr().String()
	ask(t, s.dial(t), "x", "x")
	if n := s.Stats().AcceptErrors; n < 6 { // each of the acceptors may be waiting after one
		t.Fatalf("%d errors counted", n)
	}
}

// TestOutOfFiles runs out of descriptors for real, in a process of its own, and recovers.
func TestOutOfFiles(t *testing.T) {
	const limit = 64
	if os.Getenv("EVENTLOOP_OUT_OF_FILES") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOutOfFiles$", "-test.v")
		cmd.Env = append(os.Environ(), "EVENTLOOP_OUT_OF_FILES=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Fatal(err)
	}
	failed := make(chan string, 100)
	logf := func(format string, args ...any) { failed <- fmt.Sprintf(format, args...) }
	// leaves us no reserve, on purpose
	s := serve(t, Options{ReserveFiles: 1, Logf: logf}, ListenerOptions{}, fake{})
	first := s.dial(t)
	ask(t, first, "x", "x")
	var hogs []*os.File
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		hogs = append(hogs, f)
	}
	hogs[0].Close() // one for the client, none for the server
	hogs = hogs[1:]
	s.dial(t) // it waits, or is let go while only some of the files are back
	if msg := wait(t, failed); !strings.Contains(msg, "too many open files") {
		t.Fatal(msg)
	}
	ask(t, first, "y", "y")
	for _, f := range hogs {
		f.Close()
	}
	ask(t, s.dial(t), "z", "z")
}

// TestShutdown: it waits for those who are still talking, and takes nobody new.
func TestShutdown(t *testing.T) {
	f := fake{data: func(c *Conn, p []byte) int {
		c.Write([]byte("250 done\r\n"))
		c.Close()
		return len(p)
	}}
	e, err := Start(Options{tick: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan bool, 1)
	lo := ListenerOptions{New: func(c *Conn) Handler { h := f; h.c = c; opened <- true; return &h }}
	if _, err := e.Serve(l, lo); err != nil {
		t.Fatal(err)
	}
	s := &server{e, l.Addr().String()}
	c := s.dial(t)
	wait(t, opened)
	result := make(chan error, 1)
	go func() { result <- e.Shutdown(context.Background()) }()
	for {
		late, err := net.Dial("tcp", s.addr)
		if err != nil {
			break
		}
		late.Close()
	}
	select {
	case err := <-result:
		t.Fatalf("did not wait: %v", err)
	default:
	}
	ask(t, c, "finish\n", "250 done\r\n")
	c.Close()
	if err := wait(t, result); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Serve(l, lo); !errors.Is(err, ErrStopped) {
		t.Fatalf("Serve after Shutdown: %v", err)
	}
}

// TestShutdownAborts: when the time is over, what is left is aborted, and told so.
func TestShutdownAborts(t *testing.T) {
	opened := make(chan bool, 3)
	f := fake{open: func(*Conn) { opened <- true }}
	closed := closes(&f)
	s := serve(t, Options{}, ListenerOptions{}, f)
	for range 3 {
		s.dial(t)
		wait(t, opened)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	s.StopAccepting()
	if err := s.drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	s.abortAll()
	for range 3 {
		if err := wait(t, closed); !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
	}
}

// TestEach: every open connection is told, once.
func TestEach(t *testing.T) {
	opened := make(chan bool, 10)
	var f fake
	f.open = func(*Conn) { opened <- true }
	s := serve(t, Options{Loops: 3}, ListenerOptions{}, f)
	var conns []net.Conn
	for range 10 {
		conns = append(conns, s.dial(t))
		wait(t, opened)
	}
	s.Each(func(h Handler) {
		c := h.(*fake).c
		c.Write([]byte("421 stopping\r\n"))
		c.Close()
	})
	for _, c := range conns {
		if got, err := io.ReadAll(c); err != nil || string(got) != "421 stopping\r\n" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}
