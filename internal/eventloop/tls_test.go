package eventloop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// startTLSServer speaks a protocol of one command: "STARTTLS\n" is answered with "go\n" and TLS;
// everything else is echoed.
func startTLSServer(tlsDone func(*Conn, error)) fake {
	return fake{tlsDone: tlsDone, data: func(c *Conn, p []byte) int {
		const command = "STARTTLS\n"
		if c.TLS() == nil && bytes.HasPrefix(p, []byte(command)) {
			c.Write([]byte("go\n"))
			c.StartTLS(serverTLS())
			return len(command)
		}
		c.Write(p)
		return len(p)
	}}
}

var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func TestStartTLS(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			done := make(chan *tls.ConnectionState, 1)
			f := startTLSServer(func(c *Conn, err error) { done <- c.TLS() })
			closed := closes(&f)
			s := serve(t, Options{}, ListenerOptions{}, f)
			c := s.dial(t)
			ask(t, c, "clear\n", "clear\n")
			ask(t, c, "STARTTLS\n", "go\n")
			tc := tls.Client(c, clientTLS(version))
			ask(t, tc, "sealed\n", "sealed\n")
			if st := wait(t, done); st == nil || st.Version != version {
				t.Fatalf("state %+v", st)
			}
			big := string(pattern(300_000))
			go func() { _, _ = io.WriteString(tc, big) }()
			expect(t, tc, big)
			if err := tc.Close(); err != nil {
				t.Fatal(err)
			}
			if err := wait(t, closed); err != io.EOF {
				t.Fatalf("closed with %v", err)
			}
		})
	}
}

// TestImplicitTLS: the handshake comes first, then Open; what the handler says last arrives, with a
// proper end.
func TestImplicitTLS(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			f := fake{
				open: func(c *Conn) { c.Write([]byte("hello\n")) },
				data: func(c *Conn, p []byte) int {
					c.Write([]byte("bye\n"))
					c.Close()
					return len(p)
				},
			}
			closed := closes(&f)
			s := serve(t, Options{}, ListenerOptions{TLS: serverTLS}, f)
			tc := tls.Client(s.dial(t), clientTLS(version))
			expect(t, tc, "hello\n")
			if _, err := io.WriteString(tc, "quit\n"); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(tc)
			if err != nil || string(got) != "bye\n" {
				t.Fatalf("got %q, %v", got, err)
			}
			tc.Close()
			if err := wait(t, closed); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestStartTLSInjection: octets in clear behind STARTTLS end the connection; they are neither
// answered nor heard inside TLS (CVE-2011-0411).
func TestStartTLSInjection(t *testing.T) {
	f := startTLSServer(nil)
	closed := closes(&f)
	s := serve(t, Options{}, ListenerOptions{}, f)
	c := s.dial(t)
	if _, err := c.Write([]byte("STARTTLS\nMAIL FROM:<evil@example.com>\n")); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(c); string(got) != "go\n" {
		t.Fatalf("got %q", got)
	}
	if err := wait(t, closed); !errors.Is(err, ErrInjection) {
		t.Fatalf("closed with %v", err)
	}
}

// TestAcceptTLS: after a preamble the first octets of TLS may come in the same segment.
func TestAcceptTLS(t *testing.T) {
	const preamble = "PROXY\n"
	f := fake{data: func(c *Conn, p []byte) int {
		if c.TLS() == nil {
			c.AcceptTLS(serverTLS())
			return len(preamble)
		}
		c.Write(p)
		return len(p)
	}}
	s := serve(t, Options{}, ListenerOptions{}, f)
	tc := tls.Client(&prefixed{Conn: s.dial(t), prefix: preamble}, clientTLS(tls.VersionTLS13))
	ask(t, tc, "x\n", "x\n")
}

// prefixed puts its prefix in front of the first Write.
type prefixed struct {
	net.Conn
	prefix string
}

func (p *prefixed) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(append([]byte(p.prefix), b...))
	n -= len(p.prefix)
	p.prefix = ""
	return max(n, 0), err
}

// TestHandshakeGarbage: something else than TLS fails the handshake, and the handler hears of it.
func TestHandshakeGarbage(t *testing.T) {
	told := make(chan error, 1)
	f := startTLSServer(func(_ *Conn, err error) { told <- err })
	closed := closes(&f)
	s := serve(t, Options{}, ListenerOptions{}, f)
	c := s.dial(t)
	ask(t, c, "STARTTLS\n", "go\n")
	if _, err := io.WriteString(c, "EHLO example.com\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, told); err == nil {
		t.Fatal("TLSDone(nil)")
	}
	if err := wait(t, closed); err == nil || !strings.Contains(err.Error(), "handshake") {
		t.Fatalf("closed with %v", err)
	}
	if n := s.Stats().HandshakeFailures; n != 1 {
		t.Fatalf("%d failures counted", n)
	}
}

// TestHandshakeDeadline: neither silence nor half a record holds a connection or a slot.
func TestHandshakeDeadline(t *testing.T) {
	told := make(chan error, 10)
	f := fake{tlsDone: func(_ *Conn, err error) { told <- err }}
	closed := closes(&f)
	s := serve(t, Options{HandshakeLimit: 30 * time.Millisecond, Handshakes: 1},
		ListenerOptions{TLS: serverTLS}, f)
	for _, hello := range []string{"", "\x16", "\x16\x03\x01\x02\x00\x01", clientHello(t)} {
		c := s.dial(t)
		if _, err := io.WriteString(c, hello); err != nil {
			t.Fatal(err)
		}
		if err := wait(t, told); !errors.Is(err, ErrHandshakeTimeout) {
			t.Fatalf("%q: TLSDone(%v)", hello, err)
		}
		if err := wait(t, closed); !errors.Is(err, ErrHandshakeTimeout) {
			t.Fatalf("%q: closed with %v", hello, err)
		}
	}
}

// clientHello returns the first flight of a client.
func clientHello(t *testing.T) string {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() { _ = tls.Client(theirs, clientTLS(tls.VersionTLS13)).Handshake() }()
	p := make([]byte, 4096)
	n, err := ours.Read(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(p[:n])
}

// TestHandshakeSlots: those that find no slot wait for one.
func TestHandshakeSlots(t *testing.T) {
	f := startTLSServer(nil)
	s := serve(t, Options{Handshakes: 1}, ListenerOptions{}, f)
	stuck := s.dial(t)
	ask(t, stuck, "STARTTLS\n", "go\n")
	// takes the slot, and says no more
	if _, err := io.WriteString(stuck, clientHello(t)); err != nil {
		t.Fatal(err)
	}
	hdr := make([]byte, 5)
	if _, err := io.ReadFull(stuck, hdr); err != nil { // the server's answer: the slot is taken
		t.Fatal(err)
	}
	c := s.dial(t)
	ask(t, c, "STARTTLS\n", "go\n")
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, clientHello(t)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(hdr); !isTimeout(err) {
		t.Fatalf("a second handshake was begun: %d, %v", n, err)
	}
	stuck.Close()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, hdr); err != nil {
		t.Fatal(err)
	}
}

// TestHandshakePanic: a panic in a callback of the configuration is one connection's.
func TestHandshakePanic(t *testing.T) {
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		panic("planted")
	}}
	var f fake
	closed := closes(&f)
	s := serve(t, Options{Logf: func(string, ...any) {}},
		ListenerOptions{TLS: func() *tls.Config { return config }}, f)
	_ = tls.Client(s.dial(t), clientTLS(tls.VersionTLS13)).Handshake()
	if err := wait(t, closed); !errors.Is(err, ErrPanic) {
		t.Fatal(err)
	}
}

// TestTLSPause: flow control works through TLS.
func TestTLSPause(t *testing.T) {
	const total = 8 << 20
	parked := make(chan *Conn, 1)
	open, got := false, 0
	f := fake{data: func(c *Conn, p []byte) int {
		if !open {
			select {
			case parked <- c:
			default:
			}
			return 0
		}
		if got += len(p); got == total {
			c.Write([]byte("all\n"))
		}
		return len(p)
	}}
	s := serve(t, Options{}, ListenerOptions{TLS: serverTLS}, f)
	tc := tls.Client(s.dial(t), clientTLS(tls.VersionTLS13))
	sent := make(chan error, 1)
	go func() { _, err := tc.Write(pattern(total)); sent <- err }()
	c := wait(t, parked)
	select {
	case err := <-sent:
		t.Fatalf("the peer could send everything: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	c.Post(func() { open = true; c.Resume() })
	expect(t, tc, "all\n")
	if err := wait(t, sent); err != nil {
		t.Fatal(err)
	}
}

// TestHandshakeGivesWay: when there is no place, the handshake whose peer has been silent for
// longest ends, and no sooner; and one network's cannot take all places.
func TestHandshakeGivesWay(t *testing.T) {
	told := make(chan error, 100)
	f := fake{tlsDone: func(_ *Conn, err error) { told <- err }}
	s := serve(t, Options{Handshakes: 16, HandshakeLimit: time.Hour, grace: 200 * time.Millisecond},
		ListenerOptions{TLS: serverTLS}, f)
	stall := func(source string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
		c, err := d.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, clientHello(t)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	begun := func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, recordHeader)); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	begun(stall("127.1.0.1"))
	begun(stall("127.1.0.2"))
	third := stall("127.1.0.3") // has to wait: its network has two places
	begun(stall("127.2.0.1"))   // a later one of another network has not
	begun(third)
	if err := wait(t, told); !errors.Is(err, errGaveWay) || time.Since(began) < s.o.grace {
		t.Errorf("after %v: TLSDone(%v)", time.Since(began), err)
	}
	tc := tls.Client(s.dial(t), clientTLS(tls.VersionTLS13))
	ask(t, tc, "x", "x")
}
