package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// impatient ports give up handshakes soon.
func impatient(o *Options) { o.handshakeTime = 150 * time.Millisecond }

// TestHalfHandshakesEnd: who stops anywhere on the way in is let go.
func TestHalfHandshakesEnd(t *testing.T) {
	w := newWorld(t)
	p := w.port(1, impatient, func(o *Options) {
		o.Secrets = func() []string { return []string{NewToken()} }
		o.Join = w.join
	})
	p.Stream(1)
	creds := w.credentials(t, w.id(2))
	pair, err := tls.X509KeyPair(creds.Cert, creds.Key)
	if err != nil {
		t.Fatal(err)
	}
	shake := func(c net.Conn, send string) {
		s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol},
			Certificates: []tls.Certificate{pair}})
		if _, err := io.WriteString(s, send); err != nil {
			t.Error(err)
		}
		if err := s.Handshake(); err != nil {
			t.Error(err)
		}
	}
	for name, begin := range map[string]func(c net.Conn){
		"silence": func(net.Conn) {},
		"half a record": func(c net.Conn) {
			io.WriteString(c, "\x16\x03\x01\x02\x00\x01")
		},
		"no preface":             func(c net.Conn) { shake(c, "") },
		"half a group's number":  func(c net.Conn) { shake(c, "R\x00\x00") },
		"a join without a proof": func(c net.Conn) { shake(c, "J") },
		"a join, half a proof":   func(c net.Conn) { shake(c, "J0123456789") },
	} {
		t.Run(name, func(t *testing.T) {
			address, _ := w.address(1)
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			begin(c)
			if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); isTimeout(err) {
				t.Errorf("it is still open: %v", err)
			}
		})
	}
	if n := p.connections(); n != 0 {
		t.Errorf("%d connections are in the books", n)
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// TestDialsEnd: a member that stops anywhere on the way does not hold up who dials.
func TestDialsEnd(t *testing.T) {
	w := newWorld(t)
	a := w.port(1, impatient)
	for name, answer := range map[string]func(c *tls.Conn){
		"silence":        func(*tls.Conn) {},
		"no answer":      func(c *tls.Conn) { c.Handshake() },
		"half a no":      func(c *tls.Conn) { c.Write([]byte("n\x00\x00\x00\x09so")) },
		"half an answer": func(c *tls.Conn) { c.Write([]byte("y\x00")) },
	} {
		t.Run(name, func(t *testing.T) {
			w.fake(t, 2, answer)
			began := time.Now()
			if _, err := a.Stream(1).DialMember(2, 0); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the error is %v", err)
			}
			if took := time.Since(began); took > patience/2 {
				t.Errorf("it took %v", took)
			}
		})
	}
	w.fake(t, 2, func(c *tls.Conn) { c.Write([]byte("y\x00\x00\x00\x02ok")) })
	if _, err := a.Stream(1).DialMember(2, 0); err == nil ||
		!strings.Contains(err.Error(), "not understood") {
		t.Errorf("an answer that is none: %v", err)
	}
	w.fake(t, 2, func(c *tls.Conn) { c.Write([]byte("n\xff\xff\xff\xff")) })
	if _, err := a.Stream(1).DialMember(2, 0); err == nil ||
		!strings.Contains(err.Error(), "are allowed") {
		t.Errorf("words without end: %v", err)
	}
	if n := a.connections(); n != 0 {
		t.Errorf("%d connections are in the books", n)
	}
}

// fake is a member that does as told with one connection, and keeps it open until the test's end.
func (w *world) fake(t *testing.T, member uint16, answer func(c *tls.Conn)) {
	t.Helper()
	creds := w.credentials(t, w.id(member))
	pair, err := tls.X509KeyPair(creds.Cert, creds.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.set(member, l.Addr().String())
	var work sync.WaitGroup
	end := make(chan struct{})
	work.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		answer(tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair},
			NextProtos: []string{protocol}, ClientAuth: tls.RequestClientCert}))
		<-end
	})
	t.Cleanup(func() { close(end); l.Close(); work.Wait() })
}

// TestStrangersDoNotKeepMembersOut: more silent connections than there are places, from the address
// of a member that was never seen there, and it comes in all the same when they have had their
// grace.
func TestStrangersDoNotKeepMembersOut(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := w.port(2, func(o *Options) { o.Listener.Close(); o.Listener = nil })
	b.strangers = newGate(bounds{4, 4}, bounds{4, 4}, 10*time.Millisecond)
	b.Serve(l)
	w.set(2, l.Addr().String())
	b.Stream(1)
	for range 20 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	began, s := time.Now(), w.port(1).Stream(1)
	for {
		out, err := s.DialMember(2, 0)
		if err == nil {
			out.Close()
			return
		}
		if time.Since(began) > patience {
			t.Fatal(err)
		}
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(bounds{4, 2}, bounds{2, 2}, time.Second)
		enter := func(address string, want bool) (*place, *fakeConn) {
			t.Helper()
			c := &fakeConn{address: address}
			p := g.enter(c)
			if (p != nil) != want {
				t.Fatalf("%s: %v", address, p)
			}
			return p, c
		}
		_, first := enter("192.0.2.1", true)
		second, _ := enter("192.0.2.1", true)
		enter("192.0.2.1", false)
		enter("192.0.2.2", true)
		enter("192.0.2.3", true)
		enter("192.0.2.4", false) // all four are taken
		g.learn(&fakeConn{address: "192.0.2.9"})
		enter("192.0.2.9", true)
		enter("192.0.2.9", true)
		enter("192.0.2.9", false)
		time.Sleep(time.Second)
		enter("192.0.2.4", true) // the first has had its second
		if !first.closed {
			t.Error("the first is still there")
		}
		g.leave(second)
		enter("192.0.2.1", true)
		time.Sleep(time.Second / 2)
		enter("192.0.2.5", true) // in the place of the third
		enter("192.0.2.9", true)
		for _, r := range []*room{&g.mu.strangers, &g.mu.members} {
			for len(r.places) > 0 {
				g.leave(r.places[0])
			}
			if len(r.count) != 0 {
				t.Errorf("counts of nobody: %v", r.count)
			}
		}
		for i := range maxKnown + 10 {
			time.Sleep(time.Millisecond)
			g.learn(&fakeConn{address: fmt.Sprintf("10.0.%d.%d", i>>8, i&255)})
		}
		_, ok := g.mu.known[netip.MustParseAddr("192.0.2.9")]
		if n := len(g.mu.known); ok || n != maxKnown {
			t.Errorf("%d addresses are known, one of long ago: %v", n, ok)
		}
	})
}

// fakeConn is a connection from somewhere.
type fakeConn struct {
	net.Conn
	address string
	closed  bool
}

func (c *fakeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.address)} }
func (c *fakeConn) Close() error         { c.closed = true; return nil }

func TestLimiter(t *testing.T) {
	var l limiter
	now := time.Now()
	for i, want := range []struct {
		after   time.Duration
		skipped int
		ok      bool
	}{{0, 0, true}, {time.Millisecond, 0, false}, {999 * time.Millisecond, 0, false},
		{time.Second, 2, true}, {3 * time.Second, 0, true}} {
		if skipped, ok := l.allow(now.Add(want.after)); skipped != want.skipped || ok != want.ok {
			t.Errorf("%d: %d, %v", i, skipped, ok)
		}
	}
}

// TestBacklogIsBounded: a group that does not accept gets no more than it has room for.
func TestBacklogIsBounded(t *testing.T) {
	w := newWorld(t)
	a, b := w.port(1), w.port(2)
	in, out := b.Stream(1), a.Stream(1)
	for range maxWaiting {
		c, err := out.DialMember(2, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if err := await(t, func() bool { return len(in.waiting.conns) == maxWaiting }); err != nil {
		t.Fatal(err)
	}
	// The answer may come before the end.
	if c, err := out.DialMember(2, 0); err == nil {
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("one too many is open: %v", err)
		}
	}
	if err := await(t, func() bool { return b.connections() == maxWaiting }); err != nil {
		t.Errorf("%d are in the books", b.connections())
	}
	in.Close()
	if n := b.connections(); n != 0 {
		t.Errorf("%d are in the books after Close", n)
	}
}

// await looks until it is so.
func await(t *testing.T, so func() bool) error {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !so(); <-tick.C {
		if time.Since(began) > patience {
			return errors.New("it never came to be")
		}
	}
	return nil
}

// TestConnectionsOfAMember are bounded, in and out together.
func TestConnectionsOfAMember(t *testing.T) {
	w := newWorld(t)
	p := w.port(1)
	var conns []*conn
	for range maxPerMember {
		near, far := net.Pipe()
		defer far.Close()
		c, err := p.admit(tls.Client(&coalesced{Conn: near}, &tls.Config{}), w.id(2))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	if _, err := p.admit(tls.Client(&coalesced{}, &tls.Config{}), w.id(2)); err == nil {
		t.Error("one too many")
	}
	if c, err := p.admit(tls.Client(&coalesced{}, &tls.Config{}), w.id(3)); err != nil {
		t.Errorf("another member: %v", err)
	} else {
		p.forget(c)
	}
	for _, c := range conns {
		c.Close()
		c.Close()
	}
	if p.connections() != 0 || len(p.mu.members) != 0 {
		t.Error("connections are in the books after they closed")
	}
}

// TestJoinsAreBounded: those under way have their places until they are answered.
func TestJoinsAreBounded(t *testing.T) {
	began, end := make(chan struct{}, maxJoins), make(chan struct{})
	d := newDoor(t)
	d.port(1, func(o *Options) {
		o.Secrets = func() []string { return []string{d.token} }
		o.Join = func(ctx context.Context, r JoinRequest) (JoinReply, error) {
			began <- struct{}{}
			<-end
			return d.join(ctx, r)
		}
	})
	var work sync.WaitGroup
	for range maxJoins {
		work.Go(func() {
			if _, err := d.knock(t, d.where(), d.token); err != nil {
				t.Error(err)
			}
		})
	}
	for range maxJoins {
		<-began
	}
	if _, err := d.knock(t, d.where(), d.token); !errors.Is(err, ErrNotNow) ||
		errors.Is(err, ErrJoinDenied) || !strings.Contains(err.Error(), "joining already") {
		t.Errorf("one too many: %v", err)
	}
	close(end)
	work.Wait()
}

// tired is a listener without file descriptors for a while.
type tired struct {
	net.Listener
	tries atomic.Int32
}

func (l *tired) Accept() (net.Conn, error) {
	if l.tries.Add(-1) >= 0 {
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

// TestAcceptGoesOn after the errors that pass.
func TestAcceptGoesOn(t *testing.T) {
	w := newWorld(t)
	words := make(chan string, 10)
	b := w.port(2, func(o *Options) {
		l := &tired{Listener: o.Listener}
		l.tries.Store(3)
		o.Listener = l
		o.Logf = func(format string, args ...any) { words <- fmt.Sprintf(format, args...) }
	})
	b.Stream(1)
	c, err := w.port(1).Stream(1).DialMember(2, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if said := <-words; !strings.Contains(said, "cannot accept: too many open files") {
		t.Errorf("the log says %q", said)
	}
}
