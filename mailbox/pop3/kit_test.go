package pop3

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/mailtest"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// rig is a server on a real socket.
type rig struct {
	t       testing.TB
	srv     *Server
	drops   *memory
	address string
}

// newRig starts a server of maildrops with one listener, which lets log in in clear, on a port of its own.
func newRig(t testing.TB, drops *memory, change func(*Options)) *rig {
	t.Helper()
	return newRigOn(t, drops, eventloop.Options{Loops: 1}, change)
}

func newRigOn(t testing.TB, drops *memory, loops eventloop.Options, change func(*Options)) *rig {
	t.Helper()
	loops.Logf = t.Logf
	engine, err := eventloop.Start(loops)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what is still open is aborted
		engine.Shutdown(ctx)
	})
	r := &rig{t: t, drops: drops}
	r.srv = testServer(t, func(o *Options) {
		o.Engine, o.Maildrops = engine, drops
		if change != nil {
			change(o)
		}
	})
	r.address = r.listen(ListenerOptions{AllowPlainAuth: true})
	return r
}

func (r *rig) listen(l ListenerOptions) (address string) {
	r.t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.srv.Serve(socket, l); err != nil {
		r.t.Fatal(err)
	}
	return socket.Addr().String()
}

// client is the other side.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func newClient(t testing.TB, conn net.Conn) *client {
	conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn, bufio.NewReader(conn)}
}

func (r *rig) dial() *client {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	return newClient(r.t, conn)
}

// connect dials and reads the greeting.
func (r *rig) connect() *client {
	r.t.Helper()
	c := r.dial()
	c.expect("+OK")
	return c
}

// login connects and logs in as the user.
func (r *rig) login() *client {
	r.t.Helper()
	c := r.connect()
	c.say("USER "+fakeUser, "+OK")
	c.say("PASS secret", "+OK")
	return c
}

func (c *client) send(octets string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, octets); err != nil {
		c.t.Fatalf("sending %.60q: %v", octets, err)
	}
}

// say sends a line and expects a reply of one line that begins with want.
func (c *client) say(line, want string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.expect(want)
}

func (c *client) expect(want string) string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, want) {
		c.t.Fatalf("got %q, %v, want %s", line, err, want)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// text reads an answer of several lines, behind its first.
func (c *client) text() string {
	c.t.Helper()
	c.expect("+OK")
	var b strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("after %d octets: %v", b.Len(), err)
		}
		if line == ".\r\n" {
			return b.String()
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

// expectEnd expects that the server closes without another word.
func (c *client) expectEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil {
		c.t.Fatalf("got %q and %v, want the end of the connection", rest, err)
	}
}

// startTLS does the handshake and returns the client inside.
func (c *client) startTLS() *client {
	c.t.Helper()
	inner := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	if err := inner.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	return newClient(c.t, inner)
}

var testTLS = sync.OnceValue(func() *tls.Config {
	certificate, err := mailtest.SelfSigned("pop.test")
	if err != nil {
		panic(err)
	}
	config, err := certificate.Server()
	if err != nil {
		panic(err)
	}
	return config
})

// eventually waits for what must become true soon.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("after %v: %s", patience, what)
		}
	}
}
