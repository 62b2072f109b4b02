package smtpd

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// rig is a server on a real socket.
type rig struct {
	t       *testing.T
	srv     *Server
	queue   *fakeQueue
	address string
}

// newRig starts a server with one listener on a port of its own.
func newRig(t *testing.T, l ListenerOptions, change func(*Options)) *rig {
	t.Helper()
	return newRigOn(t, eventloop.Options{Loops: 1}, l, change)
}

func newRigOn(t *testing.T, loops eventloop.Options, l ListenerOptions, change func(*Options)) *rig {
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
	r := &rig{t: t, queue: &fakeQueue{}}
	r.srv = testServer(t, func(o *Options) {
		o.Engine, o.Submitter = engine, r.queue
		if change != nil {
			change(o)
		}
	})
	r.address = r.listen(l)
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
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// connect dials and does not wait for the greeting.
func (r *rig) connect() *client {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return newClient(r.t, conn)
}

func newClient(t *testing.T, conn net.Conn) *client {
	conn.SetDeadline(time.Now().Add(patience))
	return &client{t, conn, bufio.NewReader(conn)}
}

// hello connects and says EHLO.
func (r *rig) hello() *client {
	r.t.Helper()
	c := r.connect()
	c.expect("220")
	c.say("EHLO client.example", "250")
	return c
}

func (c *client) send(octets string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, octets); err != nil {
		c.t.Fatalf("sending %.60q: %v", octets, err)
	}
}

// flood sends what the server may refuse to read.
func (c *client) flood(octets string) { io.WriteString(c.conn, octets) }

// say sends a line and expects a reply that begins with want.
func (c *client) say(line, want string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.expect(want)
}

// expect reads one whole reply.
func (c *client) expect(want string) string {
	c.t.Helper()
	reply := c.reply()
	if !strings.HasPrefix(reply, want) {
		c.t.Fatalf("got %q, want %s", reply, want)
	}
	return reply
}

func (c *client) reply() string {
	c.t.Helper()
	var b strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Fatalf("no reply (after %q): %v", b.String(), err)
		}
		b.WriteString(line)
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimSuffix(b.String(), "\r\n")
		}
	}
}

// expectEnd expects that the server closes without another word.
func (c *client) expectEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || isTimeout(err) {
		c.t.Fatalf("got %q and %v, want the end of the connection", rest, err)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// mail opens a transaction with one recipient.
func (c *client) mail(params string) {
	c.t.Helper()
	c.say("MAIL FROM:<a@b.example>"+params, "250")
	c.say("RCPT TO:<u@local.example>", "250")
}

// data opens a transaction and begins its data.
func (c *client) data() {
	c.t.Helper()
	c.mail("")
	c.say("DATA", "354")
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

// testTLS returns a server's configuration with a certificate of its own.
var testTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

func withTLS(o *Options) { o.TLS = testTLS }
