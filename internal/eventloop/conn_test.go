package eventloop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestEcho(t *testing.T) {
	f := fake{open: func(c *Conn) { c.Write([]byte("hello\n")) }}
	closed := closes(&f)
	s := serve(t, Options{}, ListenerOptions{}, f)
	c := s.dial(t)
	expect(t, c, "hello\n")
	for range 100 {
		ask(t, c, "ping\n", "ping\n")
	}
	c.Close()
	if err := wait(t, closed); err != io.EOF {
		t.Fatalf("closed with %v, want EOF", err)
	}
}

// TestKeptOctets: what Data does not consume comes again in front of what follows.
func TestKeptOctets(t *testing.T) {
	lines := make(chan string, 100)
	f := fake{data: func(c *Conn, p []byte) int {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return 0
		}
		lines <- string(p[:i])
		c.Resume()
		return i + 1
	}}
	s := serve(t, Options{}, ListenerOptions{}, f)
	c := s.dial(t)
	long := strings.Repeat("x", 200_000)
	for _, piece := range []string{"a", "b\nc\nd", "\n" + long[:100_000], long[100_000:] + "\n"} {
		if _, err := c.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"ab", "c", "d"} {
		if got := wait(t, lines); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// TestPauseAndResume: a handler that consumes nothing makes the peer wait; nothing is lost and
// little is held.
func TestPauseAndResume(t *testing.T) {
	const total = 32 << 20
	var got, most atomic.Int64
	parked := make(chan *Conn, 1)
	open := false
	f := fake{data: func(c *Conn, p []byte) int {
		most.Store(max(most.Load(), int64(len(p))))
		if !open {
			select {
			case parked <- c:
			default:
			}
			return 0
		}
		if got.Add(int64(len(p))) == total {
			c.Write([]byte("all\n"))
		}
		return len(p)
	}}
	o := Options{InboundLimit: 64 << 10}
	s := serve(t, o, ListenerOptions{}, f)
	c := s.dial(t)
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, total))
		sent <- err
	}()
	sc := wait(t, parked)
	if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !isTimeout(err) { // the connection lives, and waits
		t.Fatalf("read %d, %v while paused", n, err)
	}
	if m := most.Load(); m > int64(4*o.InboundLimit+3*readBuffer) {
		t.Fatalf("%d octets held", m)
	}
	select {
	case err := <-sent:
		t.Fatalf("the peer could send everything: %v", err)
	default:
	}
	sc.Post(func() { open = true; sc.Resume() })
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	expect(t, c, "all\n")
	if err := wait(t, sent); err != nil {
		t.Fatal(err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// TestEpollOf: pausing depends on a field of gnet's. When this fails after an update of gnet,
// adjust epollOf.
func TestEpollOf(t *testing.T) {
	fds := make(chan int, 1)
	s := serve(t, Options{}, ListenerOptions{}, fake{open: func(c *Conn) { fds <- c.loop.epoll }})
	s.dial(t)
	if fd := wait(t, fds); fd < 0 {
		t.Fatal("gnet's epoll descriptor is no longer where epollOf looks for it")
	}
}

// TestInboundOverflow: without a way to pause, the connection is closed.
func TestInboundOverflow(t *testing.T) {
	f := fake{
		open: func(c *Conn) { c.loop.epoll = -1 },
		data: func(*Conn, []byte) int { return 0 },
	}
	closed := closes(&f)
	s := serve(t, Options{InboundLimit: 1 << 10}, ListenerOptions{}, f)
	c := s.dial(t)
	_, _ = c.Write(make([]byte, 64<<10)) // may fail half-way
	if err := wait(t, closed); !errors.Is(err, ErrInboundLimit) {
		t.Fatalf("closed with %v", err)
	}
	if n := s.Stats().Overflows; n != 1 {
		t.Fatalf("%d overflows counted", n)
	}
}

// TestSlowReader: one that reads at last gets everything, the last words included.
func TestSlowReader(t *testing.T) {
	body := pattern(900 << 10)
	f := fake{data: func(c *Conn, p []byte) int {
		for range 8 { // more than the kernel takes
			c.Write(body)
		}
		c.Write([]byte("bye\n"))
		c.Close()
		return len(p)
	}}
	closed := closes(&f)
	s := serve(t, Options{OutboundLimit: 16 << 20}, ListenerOptions{}, f)
	c := s.dial(t)
	if err := c.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(slowly{c})
	if err != nil {
		t.Fatal(err)
	}
	if want := append(bytes.Repeat(body, 8), "bye\n"...); !bytes.Equal(got, want) {
		t.Fatalf("got %d octets, want %d", len(got), len(want))
	}
	c.Close()
	if err := wait(t, closed); err != nil {
		t.Fatalf("closed with %v", err)
	}
}

// slowly reads little at a time.
type slowly struct{ io.Reader }

func (s slowly) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 30_000)]) }

// TestOutboundLimit: one that never reads is disconnected.
func TestOutboundLimit(t *testing.T) {
	f := fake{data: func(c *Conn, p []byte) int {
		c.Write(make([]byte, 1<<20))
		return len(p)
	}}
	closed := closes(&f)
	s := serve(t, Options{OutboundLimit: 4 << 20}, ListenerOptions{}, f)
	c := s.dial(t)
	var err error
	for range 1000 {
		if _, werr := c.Write([]byte("x")); werr != nil {
			break
		}
		select {
		case err = <-closed:
		case <-time.After(time.Millisecond):
			continue
		}
		break
	}
	if err == nil {
		err = wait(t, closed)
	}
	if !errors.Is(err, ErrOutboundLimit) {
		t.Fatalf("closed with %v", err)
	}
}

// TestDrained: a stream is written piece by piece, each when the one before is gone, without
// holding more than a piece.
func TestDrained(t *testing.T) {
	const pieces, size = 500, 64 << 10
	piece := pattern(size)
	n := 0
	next := func(c *Conn) {
		if n++; n <= pieces {
			c.Write(piece)
			return
		}
		c.Close()
	}
	f := fake{open: next, drained: next}
	closed := closes(&f)
	s := serve(t, Options{OutboundLimit: size}, ListenerOptions{}, f)
	c := s.dial(t)
	got, err := io.ReadAll(c)
	if err != nil || len(got) != pieces*size {
		t.Fatalf("got %d octets, %v", len(got), err)
	}
	c.Close()
	if err := wait(t, closed); err != nil {
		t.Fatal(err)
	}
}

// TestCloseWithUnreadInput: our last words reach a peer that has sent more than we have read.
func TestCloseWithUnreadInput(t *testing.T) {
	f := fake{data: func(c *Conn, p []byte) int {
		c.Write([]byte("421 enough\r\n"))
		c.Close()
		return 0
	}}
	closed := closes(&f)
	s := serve(t, Options{}, ListenerOptions{}, f)
	c := s.dial(t)
	for range 100 {
		if _, err := c.Write(make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "421 enough\r\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	c.Close()
	if err := wait(t, closed); err != nil {
		t.Fatal(err)
	}
}

// TestLinger: a peer that does not end its side after Close is waited for no longer than Linger.
func TestLinger(t *testing.T) {
	f := fake{open: (*Conn).Close}
	closed := closes(&f)
	s := serve(t, Options{Linger: 30 * time.Millisecond}, ListenerOptions{}, f)
	s.dial(t)
	if err := wait(t, closed); err != nil {
		t.Fatal(err)
	}
}

func TestAbort(t *testing.T) {
	f := fake{data: func(c *Conn, p []byte) int {
		c.Write([]byte("never sent"))
		c.Abort()
		return len(p)
	}}
	closed := closes(&f)
	s := serve(t, Options{}, ListenerOptions{}, f)
	c := s.dial(t)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); len(got) != 0 {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := wait(t, closed); !errors.Is(err, ErrAborted) {
		t.Fatal(err)
	}
}

// TestDeadlines: a deadline fires once, not before its time, and not when it was moved or taken
// away.
func TestDeadlines(t *testing.T) {
	fired := make(chan time.Duration, 10)
	var start time.Time
	f := fake{
		open: func(c *Conn) {
			start = time.Now()
			c.SetDeadline(time.Millisecond)
			c.SetDeadline(50 * time.Millisecond)
		},
		timeout: func(c *Conn) { fired <- time.Since(start) },
		data: func(c *Conn, p []byte) int {
			c.SetDeadline(20 * time.Millisecond)
			c.SetDeadline(0)
			c.Write(p)
			return len(p)
		},
	}
	s := serve(t, Options{}, ListenerOptions{}, f)
	c := s.dial(t)
	if d := wait(t, fired); d < 50*time.Millisecond {
		t.Fatalf("fired after %v", d)
	}
	ask(t, c, "x", "x")
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !isTimeout(err) {
		t.Fatal(err)
	}
	if len(fired) != 0 {
		t.Fatal("a deadline that was taken away has fired")
	}
}

// TestPanic: a panic closes that connection only, in whichever callback it happens. A connection
// panics where its first octet says.
func TestPanic(t *testing.T) {
	var f fake
	closed := closes(&f)
	told := f.closed
	lo := ListenerOptions{New: func(c *Conn) Handler {
		var where byte
		at := func(b byte) {
			if where == b {
				panic("planted at " + string(b))
			}
		}
		return &fake{c: c,
			data: func(c *Conn, p []byte) int {
				where = p[0]
				at('d')
				c.Post(func() { at('p') })
				c.SetDeadline(time.Millisecond)
				c.Write(p)
				if where == 'n' {
					return len(p) + 1
				}
				return len(p)
			},
			timeout: func(*Conn) { at('t') },
			drained: func(*Conn) { at('w') },
			closed:  func(c *Conn, err error) { told(c, err); at('c') },
		}
	}}
	s := serve(t, Options{Logf: func(string, ...any) {}}, lo, fake{})
	other := s.dial(t)
	for i, where := range []string{"d", "n", "p", "t", "w"} {
		ask(t, other, "a", "a")
		if _, err := s.dial(t).Write([]byte(where)); err != nil {
			t.Fatal(err)
		}
		if err := wait(t, closed); !errors.Is(err, ErrPanic) {
			t.Fatalf("%s: closed with %v", where, err)
		}
		if n := s.Stats().Panics; n != uint64(i+1) {
			t.Fatalf("%s: %d panics counted", where, n)
		}
	}
	last := s.dial(t)
	ask(t, last, "c", "c")
	last.Close()
	wait(t, closed)
	ask(t, other, "b", "b")
}

// TestPanicInOpen: so does one in the first callback, or in making the handler.
func TestPanicInOpen(t *testing.T) {
	f := fake{open: func(*Conn) { panic("planted") }}
	closed := closes(&f)
	s := serve(t, Options{Logf: func(string, ...any) {}}, ListenerOptions{}, f)
	s.dial(t)
	if err := wait(t, closed); !errors.Is(err, ErrPanic) {
		t.Fatal(err)
	}
	lo := ListenerOptions{New: func(*Conn) Handler { panic("planted") }}
	s = serve(t, Options{Logf: func(string, ...any) {}}, lo, f)
	if _, err := io.ReadAll(s.dial(t)); isTimeout(err) {
		t.Fatal("the connection was not closed")
	}
}

// TestPost: functions run on the loop, in order, after Closed too.
func TestPost(t *testing.T) {
	conns := make(chan *Conn, 1)
	f := fake{open: func(c *Conn) { conns <- c }}
	closed := closes(&f)
	s := serve(t, Options{}, ListenerOptions{}, f)
	nc := s.dial(t)
	c := wait(t, conns)
	for i := range 10 {
		c.Post(func() { c.Write([]byte{'0' + byte(i)}) })
	}
	expect(t, nc, "0123456789")
	nc.Close()
	wait(t, closed)
	ran := make(chan bool, 1)
	c.Post(func() { c.Write([]byte("into nothing")); ran <- true })
	wait(t, ran)
}

// TestGather: what two connections write whose octets came together goes out when both have been
// called.
func TestGather(t *testing.T) {
	for gather, want := range map[int]string{0: "data drained data drained",
		2: "data data drained drained", 3: "data drained data drained"} {
		conns, calls := make(chan *Conn, 2), make(chan string, 4)
		f := fake{open: func(c *Conn) { conns <- c }, drained: func(*Conn) { calls <- "drained" }}
		f.data = func(c *Conn, p []byte) int {
			calls <- "data"
			c.Write(p)
			return len(p)
		}
		s := serve(t, Options{Loops: 1, Gather: gather}, ListenerOptions{}, f)
		peers := []net.Conn{s.dial(t), s.dial(t)}
		wait(t, conns)
		held, let := make(chan bool), make(chan bool)
		wait(t, conns).Post(func() { held <- true; <-let })
		<-held
		for _, nc := range peers {
			if _, err := nc.Write([]byte("ping\n")); err != nil {
				t.Fatal(err)
			}
		}
		let <- true
		var got []string
		for range 4 {
			got = append(got, wait(t, calls))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("Gather %d: %v, want %s", gather, got, want)
		}
		for _, nc := range peers {
			expect(t, nc, "ping\n")
		}
	}
}
