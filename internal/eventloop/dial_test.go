package eventloop

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"testing"
)

// dialled opens a connection from an engine and has f handle it.
func dialled(t *testing.T, from *Engine, addr string, config *tls.Config, f fake) error {
	t.Helper()
	return from.Dial(t.Context(), addr, &DialOptions{TLS: config, Timeout: patience,
		Source: netip.MustParseAddr("127.0.0.2"), New: func(c *Conn) Handler {
			h := f
			h.c = c
			return &h
		}})
}

func TestDial(t *testing.T) {
	for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
		lo := ListenerOptions{}
		var config *tls.Config
		if version != 0 {
			lo.TLS, config = serverTLS, clientTLS(version)
		}
		s := serve(t, Options{}, lo, fake{})
		got := make(chan string, 1)
		f := fake{
			open: func(c *Conn) { c.Write([]byte("hello")) },
			data: func(c *Conn, p []byte) int {
				if len(p) < len("hello") {
					return 0
				}
				got <- c.LocalAddr().Addr().String() + " " + string(p)
				c.Close()
				return len(p)
			},
		}
		ended := closes(&f)
		if err := dialled(t, s.Engine, s.addr, config, f); err != nil {
			t.Fatal(err)
		}
		if text := wait(t, got); text != "127.0.0.2 hello" {
			t.Errorf("TLS %x: got %q", version, text)
		}
		if err := wait(t, ended); err != nil {
			t.Errorf("TLS %x: closed: %v", version, err)
		}
		if st := s.Stats(); st.Dialled != 1 || st.Accepted != 1 {
			t.Errorf("TLS %x: %d dialled, %d accepted", version, st.Dialled, st.Accepted)
		}
	}
}

// TestDialStartTLS has both sides of one engine change to TLS in the middle of a connection.
func TestDialStartTLS(t *testing.T) {
	s := serve(t, Options{}, ListenerOptions{}, fake{data: func(c *Conn, p []byte) int {
		if string(p) == "tls?" {
			c.Write([]byte("tls!"))
			c.StartTLS(serverTLS())
		} else {
			c.Write(p)
		}
		return len(p)
	}})
	got := make(chan string, 1)
	f := fake{
		open: func(c *Conn) { c.Write([]byte("tls?")) },
		data: func(c *Conn, p []byte) int {
			if c.TLS() == nil {
				c.StartTLSClient(clientTLS(tls.VersionTLS13))
			} else {
				got <- string(p)
			}
			return len(p)
		},
		tlsDone: func(c *Conn, err error) {
			if err != nil {
				got <- err.Error()
			}
			c.Write([]byte("hidden"))
		},
	}
	if err := dialled(t, s.Engine, s.addr, nil, f); err != nil {
		t.Fatal(err)
	}
	if text := wait(t, got); text != "hidden" {
		t.Errorf("got %q", text)
	}
}

// TestDialStartTLSInjection has a server send octets in clear behind its invitation
// (CVE-2011-0411).
func TestDialStartTLSInjection(t *testing.T) {
	s := serve(t, Options{}, ListenerOptions{},
		fake{open: func(c *Conn) { c.Write([]byte("tls!and more")) }})
	f := fake{data: func(c *Conn, p []byte) int {
		if len(p) < len("tls!and more") {
			return 0
		}
		c.StartTLSClient(clientTLS(tls.VersionTLS13))
		return len("tls!")
	}}
	ended := closes(&f)
	if err := dialled(t, s.Engine, s.addr, nil, f); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, ended); !errors.Is(err, ErrInjection) {
		t.Errorf("closed: %v", err)
	}
}

func TestDialFails(t *testing.T) {
	s := serve(t, Options{MaxConnections: 1}, ListenerOptions{}, fake{})
	ask(t, s.dial(t), "taken", "taken")
	if err := dialled(t, s.Engine, s.addr, nil, fake{}); !errors.Is(err, ErrFull) {
		t.Errorf("dialling over the cap: %v", err)
	}
	l, err := Listen(ownAddress())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	other := serve(t, Options{}, ListenerOptions{}, fake{})
	if err := dialled(t, other.Engine, l.Addr().String(), nil, fake{}); err == nil {
		t.Error("dialling where nobody listens went well")
	}
	if n := other.Connections(); n != 0 {
		t.Errorf("%d places taken by a connection that is none", n)
	}
	other.StopAccepting()
	if err := dialled(t, other.Engine, other.addr, nil, fake{}); !errors.Is(err, ErrStopped) {
		t.Errorf("dialling after the end: %v", err)
	}
}
