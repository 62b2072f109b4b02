package wire

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestDialRefuses: a dialler does not speak with anybody but the member it wanted, and hears why it
// is not wanted.
func TestDialRefuses(t *testing.T) {
	refuse := func(words string, who uint16) func(*Options) {
		return func(o *Options) {
			o.Admit = func(id Identity, _ string) error {
				if id.Member == who {
					return errors.New(words)
				}
				return nil
			}
		}
	}
	for _, c := range []struct {
		name  string
		from  func(*Options)
		to    func(w *world) func(*Options)
		words string
	}{
		{name: "another authority", words: "not of this cluster",
			to: func(w *world) func(*Options) {
				other := newAuthority(t, w.cluster)
				return func(o *Options) { o.Credentials = other.credentials(t, o.Self) }
			}},
		{name: "another cluster of the same authority", words: "a member of cluster other",
			to: func(w *world) func(*Options) {
				return func(o *Options) {
					o.Self.Cluster = "other"
					o.Credentials = w.credentials(t, o.Self)
				}
			}},
		{name: "another member at the address", words: "member 3 answers",
			to: func(w *world) func(*Options) {
				return func(o *Options) {
					o.Self = w.id(3)
					o.Credentials = w.credentials(t, o.Self)
				}
			}},
		{name: "an incarnation that the dialler does not admit", words: "its disk was wiped",
			from: refuse("its disk was wiped", 2)},
		{name: "a dialler that is not admitted", words: "refused: member 1 was removed; it is",
			to: func(*world) func(*Options) {
				return refuse("member 1 was removed\nit is\n", 1)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			none := func(*Options) {}
			from, to := none, none
			if c.from != nil {
				from = c.from
			}
			if c.to != nil {
				to = c.to(w)
			}
			a, b := w.port(1, from), w.port(2, to)
			in := b.Stream(1)
			out, err := a.Stream(1).DialMember(2, patience)
			if err == nil {
				out.Close()
				t.Fatal("connected")
			}
			if !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %q", err)
			}
			if errors.Is(err, ErrJoinDenied) != strings.Contains(c.words, "refused") {
				t.Errorf("ErrJoinDenied is for words of the other side: %v", err)
			}
			if len(in.waiting.conns) != 0 || a.connections() != 0 {
				t.Error("a connection is left")
			}
		})
	}
}

// TestFinalRefusal: who was removed is told that it need not come again, over HTTP too, and with
// what words. Who refuses it is not: it is no news for itself.
func TestFinalRefusal(t *testing.T) {
	w := newWorld(t)
	refuse := func(o *Options) {
		o.Admit = func(peer Identity, _ string) error {
			if peer.Member == 1 {
				return Final(errors.New("member 1 was removed"))
			}
			return nil
		}
	}
	a, b := w.port(1), w.port(2, refuse)
	_, err := a.Client().Get("http://2/")
	if !errors.Is(err, ErrFinal) || !errors.Is(err, ErrJoinDenied) ||
		!strings.Contains(err.Error(), "refused for good: member 1 was removed") {
		t.Errorf("the removed member hears: %v", err)
	}
	if _, err := b.Client().Get("http://1/"); err == nil || errors.Is(err, ErrFinal) {
		t.Errorf("the other hears: %v", err)
	}
}

// TestUnknownMembers: there is nowhere to dial, or nobody for it.
func TestUnknownMembers(t *testing.T) {
	w := newWorld(t)
	a, b := w.port(1), w.port(2)
	if _, err := a.Stream(1).DialMember(9, patience); err == nil ||
		!strings.Contains(err.Error(), "address of member 9 is not known") {
		t.Errorf("a member without an address: %v", err)
	}
	if _, err := a.Stream(5).DialMember(2, patience); !errors.Is(err, ErrJoinDenied) ||
		!strings.Contains(err.Error(), "group 5 is not here") {
		t.Errorf("a group that is not there: %v", err)
	}
	s := b.Stream(5)
	s.Close()
	if _, err := a.Stream(5).DialMember(2, patience); !errors.Is(err, ErrJoinDenied) {
		t.Errorf("a group that was closed: %v", err)
	}
	if _, err := s.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if again := b.Stream(5); again == s || b.Stream(5) != again {
		t.Error("there is not one open stream of a group")
	}
}

// TestServerJudges speaks with a port as strangers would, who verify nothing themselves.
func TestServerJudges(t *testing.T) {
	w := newWorld(t)
	other := newAuthority(t, w.cluster)
	var asked atomic.Int32
	p := w.port(1, func(o *Options) {
		o.Admit = func(Identity, string) error { asked.Add(1); return nil }
	})
	streams := p.Stream(1)
	config := func(creds *Credentials) *tls.Config {
		c := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
		if creds == nil {
			return c
		}
		pair, err := tls.X509KeyPair(creds.Cert, creds.Key)
		if err != nil {
			t.Fatal(err)
		}
		// As if the authorities that the server names did not matter.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &pair, nil
		}
		return c
	}
	good, alien := w.credentials(t, w.id(2)), other.credentials(t, w.id(2))
	elsewhere := w.credentials(t, Identity{"other", 2, 1})
	authority := Credentials{Cert: w.cert, Key: w.key}
	old, mute := config(&good), config(&good)
	old.MaxVersion = tls.VersionTLS12
	mute.NextProtos = nil
	raft, web := preface{forRaft, 1}.append(nil), []byte{'H'}
	for _, c := range []struct {
		name   string
		config *tls.Config
		send   []byte
		ok     bool
	}{
		{"a member", config(&good), raft, true},
		{"raft without a certificate", config(nil), raft, false},
		{"HTTP without a certificate", config(nil), web, false},
		{"a certificate of another authority", config(&alien), raft, false},
		{"a certificate of another cluster", config(&elsewhere), web, false},
		{"the authority's own certificate", config(&authority), raft, false},
		{"TLS 1.2", old, raft, false},
		{"no ALPN", mute, raft, false},
		{"an unknown purpose", config(&good), []byte("GET / HTTP/1.1\r\n\r\n"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer, err := tell(t, w, c.config, c.send)
			if ok := err == nil && string(answer) == "y\x00\x00\x00\x00"; ok != c.ok {
				t.Errorf("the answer is %q, %v", answer, err)
			}
		})
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d identities were put before Admit, not one", n)
	}
	if err := await(t, func() bool { return len(streams.waiting.conns) == 1 }); err != nil {
		t.Errorf("%d connections wait, not one", len(streams.waiting.conns))
	}
}

// tell sends to member 1 and returns what comes back, at most a frame's head.
func tell(t *testing.T, w *world, config *tls.Config, send []byte) ([]byte, error) {
	t.Helper()
	address, _ := w.address(1)
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c := tls.Client(raw, config)
	if _, err := c.Write(send); err != nil {
		return nil, err
	}
	answer := make([]byte, frameHead)
	n, err := io.ReadFull(c, answer)
	return answer[:n], err
}

// TestRecheck: a member that is removed loses the connections that it has.
func TestRecheck(t *testing.T) {
	w := newWorld(t)
	var removed atomic.Int32
	a := w.port(1, func(o *Options) {
		o.Admit = func(id Identity, _ string) error {
			if int32(id.Member) == removed.Load() {
				return errors.New("removed")
			}
			return nil
		}
	})
	b, c := w.port(2), w.port(3)
	in := a.Stream(1)
	var outs, ins []net.Conn
	for _, p := range []*Port{b, c} {
		out, err := p.Stream(1).DialMember(1, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		conn, err := in.Accept()
		if err != nil {
			t.Fatal(err)
		}
		outs, ins = append(outs, out), append(ins, conn)
	}
	removed.Store(2)
	a.Recheck()
	if err := outs[0].SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := outs[0].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the removed member's connection: %v", err)
	}
	exchange(t, outs[1], ins[1], "still here")
	if n := a.connections(); n != 1 {
		t.Errorf("%d connections are left, not one", n)
	}
}
