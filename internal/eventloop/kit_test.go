package eventloop

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

const patience = 10 * time.Second // of a test that waits for an event

// fake is a Handler made of functions. What is nil does the obvious thing.
type fake struct {
	c       *Conn
	open    func(c *Conn)
	data    func(c *Conn, p []byte) int
	timeout func(c *Conn)
	drained func(c *Conn)
	tlsDone func(c *Conn, err error)
	closed  func(c *Conn, err error)
}

func (f *fake) Open() {
	if f.open != nil {
		f.open(f.c)
	}
}

// Data echoes, unless told otherwise.
func (f *fake) Data(p []byte) int {
	if f.data != nil {
		return f.data(f.c, p)
	}
	f.c.Write(p)
	return len(p)
}

func (f *fake) Timeout() {
	if f.timeout != nil {
		f.timeout(f.c)
	}
}

func (f *fake) Drained() {
	if f.drained != nil {
		f.drained(f.c)
	}
}

func (f *fake) TLSDone(err error) {
	if f.tlsDone != nil {
		f.tlsDone(f.c, err)
	}
}

func (f *fake) Closed(err error) {
	if f.closed != nil {
		f.closed(f.c, err)
	}
}

// server is an engine with one listener, shut down at the end of the test.
type server struct {
	*Engine
	addr string
}

func serve(t testing.TB, o Options, lo ListenerOptions, f fake) *server {
	t.Helper()
	if o.tick == 0 {
		o.tick = 5 * time.Millisecond
	}
	if o.Logf == nil {
		o.Logf = t.Logf
	}
	e, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if lo.New == nil {
		lo.New = func(c *Conn) Handler {
			h := f
			h.c = c
			return &h
		}
	}
	if _, err := e.Serve(l, lo); err != nil {
		t.Fatal(err)
	}
	s := &server{e, l.Addr().String()}
	t.Cleanup(func() { s.end(t) })
	return s
}

// end shuts the engine down, aborting what is left.
func (s *server) end(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n := s.Connections(); n != 0 {
		t.Errorf("%d connections after Shutdown", n)
	}
}

func (s *server) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask writes and expects an answer.
func ask(t testing.TB, c net.Conn, out, want string) {
	t.Helper()
	if _, err := c.Write([]byte(out)); err != nil {
		t.Fatal(err)
	}
	expect(t, c, want)
}

func expect(t testing.TB, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, 0, len(want))
	for len(got) < len(want) {
		n, err := c.Read(got[len(got):cap(got)])
		got = got[:len(got)+n]
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
	}
	if string(got) != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// wait returns what comes from ch.
func wait[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing happened")
		panic("unreachable")
	}
}

// closes returns a channel that gets the reasons of Closed.
func closes(f *fake) <-chan error {
	ch := make(chan error, 100)
	f.closed = func(_ *Conn, err error) { ch <- err }
	return ch
}

var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der},
		PrivateKey: key}}}
})

func clientTLS(version uint16) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
}

// pattern returns n octets that are not all alike.
func pattern(n int) []byte {
	p := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz\n"), n/37+1)
	return p[:n]
}

// ownAddress is to be listened at, at a host of loopback that only this process has: when the
// listener is closed, nobody else gets its port there.
func ownAddress() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.77.%d.%d:0", pid>>8&255, pid&255)
}
