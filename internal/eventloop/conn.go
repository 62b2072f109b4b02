package eventloop

import (
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// Conn is one connection. All methods except Post must be called on its loop, that is, from a Handler callback or a function
// given to Post. After Closed they do nothing.
//
// Idle connections are many, so what only a busy one needs (buffers, TLS) is behind a pointer and given back.
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
	resuming bool // Resume was called
	written  bool // Write was called and Drained not since
}

// state is where a connection is in its life. It only ever moves on, by Conn.become.
type state uint8

const (
	stateOpen      state = iota
	stateDraining        // after Close: the peer has not taken everything yet
	stateLingering       // everything is taken and our side is shut down; we wait for the peer's end
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
	return c
}

// start calls the handler for the first time.
func (c *Conn) start(o *ListenerOptions) {
	defer c.loop.guard(c)
	if c.h = o.New(c); c.h == nil {
		c.fail(ErrAborted)
		return
	}
	if o.TLS == nil {
		c.h.Open()
		return
	}
	c.startTLS(o.TLS(), tlsImplicit)
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

// finish begins the end that Close has asked for.
func (c *Conn) finish() {
	if c.tls != nil && c.tls.phase != tlsOn {
		c.drop() // there is nothing a peer in the middle of a handshake could understand
		return
	}
	c.become(stateDraining)
	c.release()
	c.setLimit(c.loop.e.o.Linger)
	if c.tls != nil {
		c.tls.closeWrite()
	}
	if c.state == stateDraining && c.gc.OutboundBuffered() == 0 {
		c.shut()
	}
}

// shut ends our side and leaves the other one open until the peer has ended it too. To close at once, with octets of the peer's still unread, would
// send a reset, which can destroy our last words on their way.
func (c *Conn) shut() {
	c.become(stateLingering)
	if unix.Shutdown(c.gc.Fd(), unix.SHUT_WR) != nil {
		c.drop() // the peer is gone
	}
}

// drop closes the socket now.
func (c *Conn) drop() {
	if errors.Is(c.err, ErrAborted) || errors.Is(c.err, ErrOutboundLimit) {
		_ = c.gc.SetLinger(0) // frees what the peer would not take; without it the kernel goes on trying
	}
	if err := c.loop.gl.Close(c.gc); err != nil { // calls closed
		c.loop.e.o.Logf("eventloop: closing: %v", err)
	}
}

// closed is called by gnet when the socket is about to be closed, for whatever reason.
func (c *Conn) closed(cause error) {
	if c.state == stateClosed {
		return
	}
	reason := c.reason(cause)
	c.become(stateClosed)
	c.loop.wheel.unlink(&c.timer)
	c.unlink()
	c.release()
	if c.tls != nil {
		c.tls.closed(reason)
	}
	defer c.loop.e.leave()
	defer c.loop.guard(c)
	if c.h != nil {
		c.h.Closed(reason)
	}
}

// reason says why the connection has ended, for the handler.
func (c *Conn) reason(cause error) error {
	switch {
	case c.err != nil:
		return c.err
	case c.closing:
		return nil
	case cause == nil:
		return ErrStopped
	case errors.Is(cause, io.EOF):
		return io.EOF
	}
	return cause
}

func (c *Conn) unlink() {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		c.loop.conns = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev = nil // next stays: loop.each may stand on c
}

// release gives back the buffers.
func (c *Conn) release() {
	c.loop.free(c.kept)
	c.loop.free(c.out)
	c.kept, c.out = nil, nil
}

// SetDeadline arranges a call of Timeout after d, at a resolution of 100 ms, in place of an earlier one. 0 means none.
func (c *Conn) SetDeadline(d time.Duration) {
	c.deadline = 0
	if d > 0 {
		c.deadline = c.loop.wheel.now + c.loop.e.ticks(d)
	}
	c.arm()
}

// setLimit sets our own deadline, during which the handler's waits.
func (c *Conn) setLimit(d time.Duration) {
	c.limit = 0
	if d > 0 {
		c.limit = c.loop.wheel.now + c.loop.e.ticks(d)
	}
	c.arm()
}

func (c *Conn) arm() {
	if c.state == stateClosed {
		return
	}
	due := c.limit
	if due == 0 {
		due = c.deadline
	}
	c.loop.wheel.set(&c.timer, due)
}

// expired is called when the timer has fired.
func (c *Conn) expired() {
	switch {
	case c.limit != 0 && c.state == stateOpen:
		c.tls.failed(ErrHandshakeTimeout)
	case c.limit != 0:
		c.drop()
	default:
		c.deadline = 0
		defer c.loop.guard(c)
		c.h.Timeout()
	}
}

// Post calls f on the connection's loop. It may be called on any goroutine, never blocks for long and never calls f itself. Many Posts to one loop cost
// one wake-up. f runs even after the connection was closed; it is dropped only when the engine has stopped.
func (c *Conn) Post(f func()) { c.loop.post(task{c, f}) }

// Close sends what is buffered, for at most Options.Linger, and closes the connection. Nothing is received or written any more.
func (c *Conn) Close() {
	if !c.closing && c.state == stateOpen {
		c.closing = true
		c.mark()
	}
}

// Abort closes the connection when the current callback has returned and drops what is buffered.
func (c *Conn) Abort() { c.fail(ErrAborted) }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

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
