package eventloop

import (
	"crypto/tls"
	"net/netip"

	"github.com/panjf2000/gnet/v2"
)

// Conn is one connection. All methods except Post must be called on its loop, that is, from a
// Handler callback or a function given to Post. After Closed they do nothing.
//
// Idle connections are many, so what only a busy one needs (buffers, TLS) is behind a pointer and
// given back.
type Conn struct {
	loop *loop
	gc   gnet.Conn
	h    Handler
	tls  *secure // nil in clear

	kept []byte // received and not consumed
	out  []byte // written and not yet given to gnet
	err  error  // why settle is to drop the connection

	timer    timer
	deadline int64 // the handler's, in ticks; 0 for none
	limit    int64 // our own, of a handshake or of Close; while it is set, deadline waits

	next, prev *Conn // of loop.conns

	remote, local netip.AddrPort

	state    state
	dirty    bool // in loop.dirty
	blocked  bool // in loop.blocked
	paused   bool // kept is over the limit: we do not read
	closing  bool // Close was called
	dropping bool // Drop was called
	resuming bool // Resume was called
	written  bool // Write was called and Drained not since
}

// state is where a connection is in its life. It only ever moves on, by Conn.become.
type state uint8

const (
	stateOpen     state = iota
	stateDraining       // after Close: the peer has not taken everything yet
	// everything is taken and our side is shut down; we wait for the peer's end
	stateLingering
	stateClosed
)

func (c *Conn) become(s state) {
	if s <= c.state {
		panic("eventloop: a connection cannot go back to an earlier state")
	}
	c.state = s
}

func newConn(l *loop, gc gnet.Conn, in *entry) *Conn {
	c := &Conn{loop: l, gc: gc, remote: in.remote, local: in.local}
	c.timer.owner = c
	if c.next = l.conns; c.next != nil {
		c.next.prev = c
	}
	l.conns = c
	if l.open++; l.open == 1 {
		l.begin()
	}
	return c
}

// start calls the handler for the first time.
func (c *Conn) start(in *entry) {
	defer c.loop.guard(c)
	if c.h = in.new(c); c.h == nil {
		c.fail(ErrAborted)
		return
	}
	if in.tls == nil {
		c.h.Open()
		return
	}
	c.startTLS(in.tls, tlsImplicit, in.client)
}

// mark has settle look at c when the current callback has returned.
func (c *Conn) mark() {
	if !c.dirty {
		c.dirty = true
		c.loop.dirty = append(c.loop.dirty, c)
	}
}

// fail has settle drop the connection for the given reason. The first reason stands.
func (c *Conn) fail(err error) {
	if c.err == nil && c.state != stateClosed {
		c.err = err
		c.mark()
	}
}

// settle does what was asked for during a callback.
func (c *Conn) settle() {
	c.dirty = false
	if c.resuming {
		c.resuming = false
		c.resume()
	}
	if c.err == nil {
		c.flush()
	}
	switch {
	case c.state == stateClosed:
	case c.err != nil:
		c.drop()
	case c.state != stateOpen:
	case c.closing:
		c.finish()
	case c.tls != nil && c.tls.phase == tlsWanted:
		c.tls.begin()
	}
}

// Post calls f on the connection's loop. It may be called on any goroutine, never blocks for long
// and never calls f itself. Many Posts to one loop cost one wake-up. f runs even after the
// connection was closed; it is dropped only when the engine has stopped.
func (c *Conn) Post(f func()) { c.loop.post(task{c, f}) }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// SetRemoteAddr makes another address the peer's: a PROXY header has said who is behind a balancer.
// It is to be called before TLS.
func (c *Conn) SetRemoteAddr(a netip.AddrPort) { c.remote = a }

// LocalAddr returns our own address.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// TLS returns the state of TLS, or nil in clear and before the handshake is complete.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.tls == nil || c.tls.phase != tlsOn {
		return nil
	}
	s := c.tls.conn.ConnectionState()
	return &s
}
