package wire

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 20 * time.Second

// authority is a cluster's.
type authority struct {
	cluster   string
	cert, key []byte
}

func newAuthority(t testing.TB, cluster string) authority {
	t.Helper()
	cert, key, err := NewAuthority(cluster)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cluster, cert, key}
}

func (a authority) credentials(t testing.TB, id Identity) Credentials {
	t.Helper()
	csr, key, err := NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := Sign(a.cert, a.key, csr, id)
	if err != nil {
		t.Fatal(err)
	}
	return Credentials{CA: a.cert, Cert: cert, Key: key}
}

// book has the addresses of members.
type book struct {
	mu    sync.Mutex
	where map[uint16]string
}

func (b *book) set(member uint16, address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.where[member] = address
}

func (b *book) address(member uint16) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.where[member]
	return a, ok
}

// world is an authority and the addresses of its members.
type world struct {
	authority
	book
	t testing.TB
}

func newWorld(t testing.TB) *world {
	return &world{authority: newAuthority(t, "test"), book: book{where: map[uint16]string{}}, t: t}
}

func (w *world) id(member uint16) Identity {
	return Identity{w.cluster, member, 1000 + uint64(member)}
}

// port starts a member's port on loopback.
func (w *world) port(member uint16, change ...func(*Options)) *Port {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	opts := Options{
		Listener: l, Self: w.id(member), Address: w.address, tokenTime: time.Millisecond,
		Logf: func(format string, args ...any) {
			w.t.Logf("member %d: "+format, append([]any{member}, args...)...)
		},
	}
	opts.Credentials = w.credentials(w.t, opts.Self)
	for _, c := range change {
		c(&opts)
	}
	p, err := New(opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.set(member, l.Addr().String())
	return p
}

func TestStreamsReachTheirGroup(t *testing.T) {
	w := newWorld(t)
	a, b := w.port(1), w.port(2)
	for _, group := range []uint64{1, 7, 1 << 40} {
		from, to := a.Stream(group), b.Stream(group)
		out, err := from.DialMember(2, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		in, err := to.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if id, ok := PeerOf(in); !ok || id != w.id(1) {
			t.Errorf("the dialler is %v", id)
		}
		if id, ok := PeerOf(out); !ok || id != w.id(2) {
			t.Errorf("the dialled is %v", id)
		}
		exchange(t, out, in, fmt.Sprintf("hello, group %d", group))
		exchange(t, in, out, "yes?")
	}
	if s := a.Stream(1).Addr().String(); s != "1" {
		t.Errorf("the stream's address is %q, not the member's number", s)
	}
}

func exchange(t *testing.T, from, to net.Conn, words string) {
	t.Helper()
	if _, err := io.WriteString(from, words); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(words))
	if err := to.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(to, got); err != nil || string(got) != words {
		t.Fatalf("got %q, %v", got, err)
	}
}

// serve answers HTTP on a port.
func serve(t *testing.T, p *Port, h http.HandlerFunc) {
	t.Helper()
	s := &http.Server{Handler: h, ConnContext: ConnContext}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(p.HTTP())
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
}

func TestRequests(t *testing.T) {
	w := newWorld(t)
	a, b := w.port(1), w.port(2)
	serve(t, b, func(rw http.ResponseWriter, r *http.Request) {
		peer, _ := Peer(r.Context())
		fmt.Fprintf(rw, "%s for member %d", r.URL.Path, peer.Member)
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 3 {
		r, err := http.NewRequestWithContext(ctx, "GET", "http://2/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := a.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != "/status for member 1" {
			t.Errorf("got %q, %v", body, err)
		}
	}
	if n := a.connections(); n != 1 {
		t.Errorf("three requests in turn left %d connections, not one that is kept", n)
	}
}

func (p *Port) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.conns)
}

func TestJoin(t *testing.T) {
	w := newWorld(t)
	token := NewToken()
	w.port(1, func(o *Options) {
		o.Secrets = func() []string { return []string{NewToken(), token, NewToken()} }
		o.Join = w.join
	})
	csr, key, err := NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	address, _ := w.address(1)
	r, err := RequestJoin(t.Context(), address, " "+token+"\n",
		JoinRequest{Name: "mx2", Advertise: "127.0.0.1:1", Incarnation: 77, CSR: csr}, nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := Credentials{CA: r.CA, Cert: r.Cert, Key: key}.Identity()
	if err != nil || id != (Identity{"test", 2, 77}) || r.Members[1] != address {
		t.Errorf("joined as %v with %v: %v", id, r.Members, err)
	}
}

// join makes every node member 2.
func (w *world) join(_ context.Context, r JoinRequest) (JoinReply, error) {
	if strings.Contains(r.Name, "bad") {
		return JoinReply{}, fmt.Errorf("the name %s is in use", r.Name)
	}
	if r.Name == "early" {
		return JoinReply{}, fmt.Errorf("%w: no leader", ErrNotNow)
	}
	cert, err := Sign(w.cert, w.key, r.CSR, Identity{w.cluster, 2, r.Incarnation})
	address, _ := w.address(1)
	return JoinReply{Cluster: w.cluster, Member: 2, CA: w.cert, Cert: cert,
		Members: map[uint16]string{1: address}, Groups: []uint64{1}}, err
}
