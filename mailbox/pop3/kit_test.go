package pop3

import (
	"net"
	"strings"
	"testing"

	"github.com/postroad/postroad/internal/eventloop"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
)

// rig is a server on a real socket.
type rig struct {
	t       testing.TB
	srv     *Server
	drops   *memory
	address string
}

// newRig starts a server of maildrops with one listener, which lets log in in clear, on a port of
// its own.
func newRig(t testing.TB, drops *memory, change func(*Options)) *rig {
	t.Helper()
	return newRigOn(t, drops, eventloop.Options{Loops: 1}, change)
}

func newRigOn(t testing.TB, drops *memory, loops eventloop.Options, change func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, drops: drops}
	r.srv = testServer(t, func(o *Options) {
		o.Engine, o.Maildrops = sessiontest.Engine(t, loops), drops
		if change != nil {
			change(o)
		}
	})
	r.address = r.listen(ListenerOptions{AllowPlainAuth: true})
	return r
}

func (r *rig) listen(l ListenerOptions) (address string) {
	r.t.Helper()
	return sessiontest.Listen(
		r.t,
		func(socket net.Listener) error { return r.srv.Serve(socket, l) },
	)
}

// client is the other side.
type client struct{ *sessiontest.Client }

func (r *rig) dial() *client {
	r.t.Helper()
	return &client{sessiontest.Dial(r.t, r.address)}
}

// connect dials and reads the greeting.
func (r *rig) connect() *client {
	r.t.Helper()
	c := r.dial()
	c.Expect("+OK")
	return c
}

// login connects and logs in as the user.
func (r *rig) login() *client {
	r.t.Helper()
	c := r.connect()
	c.Say("USER "+fakeUser, "+OK")
	c.Say("PASS secret", "+OK")
	return c
}

// text reads an answer of several lines, behind its first.
func (c *client) text() string {
	c.T.Helper()
	c.Expect("+OK")
	var b strings.Builder
	for {
		line, err := c.In.ReadString('\n')
		if err != nil {
			c.T.Fatalf("after %d octets: %v", b.Len(), err)
		}
		if line == ".\r\n" {
			return b.String()
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

// startTLS does the handshake and returns the client inside.
func (c *client) startTLS() *client {
	c.T.Helper()
	return &client{c.StartTLS()}
}
