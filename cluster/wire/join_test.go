package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// door is a member that takes joins, and counts them.
type door struct {
	*world
	token string
	asked atomic.Int32
}

func newDoor(t *testing.T, change ...func(*Options)) *door {
	d := &door{world: newWorld(t), token: NewToken()}
	d.port(1, append([]func(*Options){func(o *Options) {
		o.Secrets = func() []string { return []string{NewToken(), d.token} }
		o.Join = func(ctx context.Context, r JoinRequest) (JoinReply, error) {
			d.asked.Add(1)
			return d.join(ctx, r)
		}
	}}, change...)...)
	return d
}

func (d *door) knock(
	t *testing.T, address, token string, change ...func(*JoinRequest),
) (JoinReply, error) {
	t.Helper()
	csr, _, err := NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	r := JoinRequest{Name: "mx2", Incarnation: 5, CSR: csr}
	for _, c := range change {
		c(&r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return RequestJoin(ctx, address, token, r, nil)
}

func (d *door) where() string {
	a, _ := d.address(1)
	return a
}

func TestJoinNeedsTheToken(t *testing.T) {
	d := newDoor(t)
	if _, err := d.knock(t, d.where(), NewToken()); !errors.Is(err, ErrToken) {
		t.Errorf("another token: %v", err)
	}
	if _, err := d.knock(t, d.where(), "secret"); err == nil ||
		!strings.Contains(err.Error(), "postroad cluster token") {
		t.Errorf("a token that is too short: %v", err)
	}
	if n := d.asked.Load(); n != 0 {
		t.Errorf("Join was asked %d times by those who do not know the token", n)
	}
	if r, err := d.knock(t, d.where(), d.token); err != nil || r.Member != 2 {
		t.Errorf("the right token: %+v, %v", r, err)
	}
	_, err := d.knock(t, d.where(), d.token, func(r *JoinRequest) { r.Name = "bad" })
	if !errors.Is(err, ErrJoinDenied) || !strings.Contains(err.Error(), "the name bad is in use") {
		t.Errorf("a join that is refused: %v", err)
	}
	if _, err = d.knock(t, d.where(), d.token, func(r *JoinRequest) {
		r.Name = "early"
	}); !errors.Is(err, ErrNotNow) || err.Error() != "join at "+d.where()+": not now: no leader" {
		t.Errorf("a join that cannot be decided: %v", err)
	}
	asked := d.asked.Load()
	_, err = d.knock(t, d.where(), d.token, func(r *JoinRequest) { r.CSR = []byte("no request") })
	if !errors.Is(err, ErrJoinDenied) || d.asked.Load() != asked {
		t.Errorf("a request that is none: %v", err)
	}
}

// TestNoJoins: no token is valid, not even one that is nothing or short, or nobody answers joins.
func TestNoJoins(t *testing.T) {
	token := NewToken()
	for name, change := range map[string]func(*Options){
		"no tokens": func(o *Options) { o.Secrets = nil },
		"no join": func(o *Options) {
			o.Join = nil
			o.Secrets = func() []string { return []string{token} }
		},
		"bad tokens only": func(o *Options) {
			o.Secrets = func() []string { return []string{"", " ", token[:minToken-1]} }
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t, change)
			if _, err := d.knock(t, d.where(), token); !errors.Is(err, ErrToken) {
				t.Error(err)
			}
			for _, secret := range []string{"", " ", token[:minToken-1]} {
				if got := d.stranger(t, secret); len(got) != 0 {
					t.Errorf("who proves %q gets %q", secret, got)
				}
			}
			if d.asked.Load() != 0 {
				t.Error("Join was asked")
			}
		})
	}
}

// stranger joins up to the proof with a secret, then goes on as if it had been accepted, and
// returns all that it hears.
func (d *door) stranger(t *testing.T, secret string) []byte {
	t.Helper()
	raw, err := net.Dial("tcp", d.where())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	value, err := exported(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(append([]byte{'J'}, prove(secret, roleClient, value)...)); err != nil {
		t.Fatal(err)
	}
	_ = writeFrame(c, ask, []byte("{}")) // it may be too late
	heard, _ := io.ReadAll(c)            // the end is an EOF or a reset
	return heard
}

func TestStrangersLearnNothing(t *testing.T) {
	d := newDoor(t)
	if heard := d.stranger(t, NewToken()); len(heard) != 0 {
		t.Errorf("a stranger hears %q", heard)
	}
	if heard := d.stranger(t, d.token); len(heard) < proofSize {
		t.Errorf("who knows the token hears %q: the test is wrong", heard)
	}
}

// mallory stands at an address with a certificate of its own. It does as told with what the new
// node says, all of which it keeps.
type mallory struct {
	net.Listener
	mu    sync.Mutex
	heard []byte
	done  chan struct{}
}

func newMallory(t *testing.T, answer func(m *mallory, victim *tls.Conn)) *mallory {
	t.Helper()
	w := newWorld(t)
	creds := w.credentials(t, Identity{"test", 1, 1})
	pair, err := tls.X509KeyPair(creds.Cert, creds.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mallory{Listener: l, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		raw, err := l.Accept()
		if err != nil {
			return
		}
		defer raw.Close()
		raw.SetDeadline(time.Now().Add(patience))
		answer(m, tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{pair},
			NextProtos: []string{protocol}}))
	}()
	t.Cleanup(func() { l.Close(); <-m.done })
	return m
}

func (m *mallory) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, b...)
	return len(b), nil
}

func (m *mallory) all() []byte {
	<-m.done
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.heard)
}

// TestManInTheMiddle passes everything on between a new node and the cluster, decrypted.
func TestManInTheMiddle(t *testing.T) {
	d := newDoor(t)
	m := newMallory(t, func(m *mallory, victim *tls.Conn) {
		c, err := tls.Dial("tcp", d.where(),
			&tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		back := make(chan struct{})
		go func() {
			defer close(back)
			io.Copy(victim, c)
			victim.NetConn().Close()
		}()
		io.Copy(io.MultiWriter(m, c), victim)
		c.Close()
		<-back
	})
	if _, err := d.knock(t, m.Addr().String(), d.token); !errors.Is(err, ErrToken) {
		t.Errorf("the new node: %v", err)
	}
	if n := d.asked.Load(); n != 0 {
		t.Error("the cluster took the join")
	}
	if heard := m.all(); len(heard) != 1+proofSize {
		t.Errorf("the man in the middle read %q, more than a proof", heard)
	}
}

// TestFalseCluster answers the new node with proofs that it can make without the token.
func TestFalseCluster(t *testing.T) {
	for name, forge := range map[string]func(value, got []byte) []byte{
		"nothing":          func(_, got []byte) []byte { return make([]byte, proofSize) },
		"the proof it got": func(_, got []byte) []byte { return got[1:] },
		"with another secret": func(value, _ []byte) []byte {
			return prove(NewToken(), roleServer, value)
		},
		"words instead": func(_, _ []byte) []byte {
			return []byte(strings.Repeat("y", 100))
		},
		"a proof cut in half":  func(_, got []byte) []byte { return got[:proofSize/2] },
		"nothing, then an end": func(_, _ []byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			m := newMallory(t, func(m *mallory, victim *tls.Conn) {
				got := make([]byte, 1+proofSize)
				if _, err := io.ReadFull(victim, got); err != nil {
					t.Error(err)
					return
				}
				value, err := exported(victim)
				if err != nil {
					t.Error(err)
				}
				forged := forge(value, got)
				victim.Write(forged)
				if len(forged) < proofSize {
					return
				}
				io.Copy(m, victim)
			})
			if _, err := d.knock(t, m.Addr().String(), d.token); err == nil {
				t.Error("the new node joined")
			}
			if heard := m.all(); len(heard) != 0 {
				t.Errorf("the new node went on with %q", heard)
			}
		})
	}
}

// TestJoinReplyIsChecked: a cluster that errs does not make a node that cannot start.
func TestJoinReplyIsChecked(t *testing.T) {
	for name, spoil := range map[string]func(w *world, r JoinRequest, reply *JoinReply){
		"another number": func(_ *world, _ JoinRequest, reply *JoinReply) { reply.Member = 3 },
		"another cluster": func(_ *world, _ JoinRequest, reply *JoinReply) {
			reply.Cluster = "other"
		},
		"another authority": func(_ *world, _ JoinRequest, reply *JoinReply) {
			reply.CA = newAuthority(t, "test").cert
		},
		"no certificate": func(_ *world, _ JoinRequest, reply *JoinReply) { reply.Cert = nil },
		"another incarnation": func(w *world, r JoinRequest, reply *JoinReply) {
			reply.Cert, _ = Sign(w.cert, w.key, r.CSR, w.id(2))
		},
		"another key": func(w *world, r JoinRequest, reply *JoinReply) {
			reply.Cert = w.credentials(t, Identity{"test", 2, r.Incarnation}).Cert
		},
		"too long": func(_ *world, _ JoinRequest, reply *JoinReply) {
			reply.Members[1] = strings.Repeat("x", maxJoin)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			d.port(1, func(o *Options) {
				o.Secrets = func() []string { return []string{d.token} }
				o.Join = func(ctx context.Context, r JoinRequest) (JoinReply, error) {
					reply, err := d.join(ctx, r)
					spoil(d.world, r, &reply)
					return reply, err
				}
			})
			if r, err := d.knock(t, d.where(), d.token); err == nil {
				t.Errorf("joined: %+v", r)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	a, b := NewToken(), NewToken()
	if a == b || !strings.HasPrefix(a, "pr1-") || len(a) != 4+32 || a != strings.ToLower(a) {
		t.Errorf("the tokens are %q and %q", a, b)
	}
}
