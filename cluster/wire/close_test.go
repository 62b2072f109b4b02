package wire

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestCloseEndsEverything: Close while all there is is under way. Each ends with an error, and no
// goroutine is left.
func TestCloseEndsEverything(t *testing.T) {
	w := newWorld(t)
	token := NewToken()
	joining := make(chan struct{})
	a := w.port(1, func(o *Options) {
		o.Secrets = func() []string { return []string{token} }
		o.Join = func(ctx context.Context, r JoinRequest) (JoinReply, error) {
			close(joining)
			<-ctx.Done()
			return JoinReply{}, ctx.Err()
		}
	})
	b := w.port(2)
	var work sync.WaitGroup
	ends := func(what string, f func() error) {
		work.Go(func() {
			if err := f(); err == nil {
				t.Errorf("%s ended well", what)
			}
		})
	}
	address, _ := w.address(1)
	silent, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ends("a stranger", func() error { return readEnd(silent) })
	streams := a.Stream(1)
	out, err := b.Stream(1).DialMember(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	in, err := streams.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ends("an inbound stream", func() error { return readEnd(in) })
	ends("its other end", func() error { return readEnd(out) })
	waiting, err := b.Stream(1).DialMember(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends("a stream nobody accepts", func() error { return readEnd(waiting) })
	ends("Accept", func() error { _, err := a.Stream(2).Accept(); return err })
	w.set(3, w.silence(t))
	ends("a dial", func() error { _, err := a.Stream(1).DialMember(3, 0); return err })
	asked := make(chan struct{})
	serve(t, b, func(_ http.ResponseWriter, r *http.Request) { close(asked); <-r.Context().Done() })
	ends("a request", func() error { _, err := a.Client().Get("http://2/"); return err })
	csr, _, err := NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	ends("a join", func() error {
		_, err := RequestJoin(t.Context(), address, token, JoinRequest{CSR: csr}, nil)
		return err
	})
	<-joining
	<-asked
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	work.Wait()
	if _, err := a.Stream(1).DialMember(2, 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a dial after Close: %v", err)
	}
	if _, err := a.Stream(9).Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	b.Close()
	if err := await(t, func() bool { return len(ours()) == 0 }); err != nil {
		t.Errorf("goroutines are left:\n%s", strings.Join(ours(), "\n\n"))
	}
}

func readEnd(c net.Conn) error {
	c.SetReadDeadline(time.Now().Add(patience))
	_, err := c.Read(make([]byte, 1))
	if isTimeout(err) {
		return nil
	}
	return err
}

// silence is an address where connections are made and nothing is ever said.
func (w *world) silence(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// ours are the goroutines of this package and of the HTTP client, tests aside.
func ours() (stacks []string) {
	buffer := make([]byte, 1<<20)
	for _, s := range strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
		product := strings.Contains(s, "wire.(*Port)") || strings.Contains(s, "wire.(*backlog)") ||
			strings.Contains(s, "http.(*persistConn)")
		if product && !strings.Contains(s, "wire.ours") {
			stacks = append(stacks, s)
		}
	}
	return stacks
}

// TestCloseAmidDials: a connection that is made while the port closes is not forgotten.
func TestCloseAmidDials(t *testing.T) {
	for range 10 {
		w := newWorld(t)
		a, b := w.port(1), w.port(2)
		in := b.Stream(1)
		var work sync.WaitGroup
		work.Go(func() {
			for {
				if _, err := in.Accept(); err != nil {
					return
				}
			}
		})
		dialled := make(chan struct{}, 1)
		for range 4 {
			work.Go(func() {
				for {
					c, err := a.Stream(1).DialMember(2, 0)
					if err != nil {
						return
					}
					select {
					case dialled <- struct{}{}:
					default:
					}
					if err := readEnd(c); err == nil {
						t.Error("a connection outlived its port")
						return
					}
				}
			})
		}
		<-dialled
		a.Close()
		b.Close()
		work.Wait()
		if n := a.connections() + b.connections(); n != 0 {
			t.Errorf("%d connections are in the books", n)
		}
	}
}
