package eventloop

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// Close sends what is buffered, for at most Options.Linger, and closes the connection. Nothing is
// received or written any more.
func (c *Conn) Close() {
	if !c.closing && c.state == stateOpen {
		c.closing = true
		c.mark()
	}
}

// Drop sends what is buffered as far as the socket takes it now, and closes the connection. It is
// for a peer that says nothing, on whom time and a place are not to be spent.
func (c *Conn) Drop() {
	c.Close()
	c.dropping = c.closing
}

// Abort closes the connection when the current callback has returned and drops what is buffered.
func (c *Conn) Abort() { c.fail(ErrAborted) }

// finish begins the end that Close has asked for.
func (c *Conn) finish() {
	if c.dropping || c.tls != nil && c.tls.phase != tlsOn {
		c.drop() // in the middle of a handshake there is nothing that a peer could understand
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

// shut ends our side and leaves the other one open until the peer has ended it too. To close at
// once, with octets of the peer's still unread, would send a reset, which can destroy our last
// words on their way.
func (c *Conn) shut() {
	c.become(stateLingering)
	if unix.Shutdown(c.gc.Fd(), unix.SHUT_WR) != nil {
		c.drop() // the peer is gone
	}
}

// drop closes the socket now.
func (c *Conn) drop() {
	if errors.Is(c.err, ErrAborted) || errors.Is(c.err, ErrOutboundLimit) {
		// frees what the peer would not take; without it the kernel goes on trying
		_ = c.gc.SetLinger(0)
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
	if c.loop.open--; c.loop.open == 0 {
		c.loop.busy.Store(false)
	}
	c.prev = nil // next stays: loop.each may stand on c
}

// release gives back the buffers.
func (c *Conn) release() {
	c.loop.free(c.kept)
	c.loop.free(c.out)
	c.kept, c.out = nil, nil
}
