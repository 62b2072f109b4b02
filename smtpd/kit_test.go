package smtpd

import (
	"net"
	"testing"

	"github.com/postroad/postroad/internal/eventloop"
	sessiontest "github.com/postroad/postroad/internal/testkit/session"
)

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

func newRigOn(
	t *testing.T, loops eventloop.Options, l ListenerOptions, change func(*Options),
) *rig {
	t.Helper()
	r := &rig{t: t, queue: &fakeQueue{}}
	r.srv = testServer(t, func(o *Options) {
		o.Engine, o.Submitter = sessiontest.Engine(t, loops), r.queue
		if change != nil {
			change(o)
		}
	})
	r.address = r.listen(l)
	return r
}

func (r *rig) listen(l ListenerOptions) (address string) {
	r.t.Helper()
	return sessiontest.Listen(r.t, func(socket net.Listener) error {
		return r.srv.Serve(socket, l)
	})
}

// client is the other side.
type client struct{ *sessiontest.Client }

// connect dials and does not wait for the greeting.
func (r *rig) connect() *client {
	r.t.Helper()
	return &client{sessiontest.Dial(r.t, r.address)}
}

// hello connects and says EHLO.
func (r *rig) hello() *client {
	r.t.Helper()
	c := r.connect()
	c.Expect("220")
	c.Say("EHLO client.example", "250")
	return c
}

// mail opens a transaction with one recipient.
func (c *client) mail(params string) {
	c.T.Helper()
	c.Say("MAIL FROM:<a@b.example>"+params, "250")
	c.Say("RCPT TO:<u@local.example>", "250")
}

// data opens a transaction and begins its data.
func (c *client) data() {
	c.T.Helper()
	c.mail("")
	c.Say("DATA", "354")
}

// startTLS does the handshake and returns the client inside.
func (c *client) startTLS() *client {
	c.T.Helper()
	return &client{c.StartTLS()}
}

func withTLS(o *Options) { o.TLS = sessiontest.TLS }
