package eventloop

// Write queues p, which is copied. What one callback writes goes to the socket in one piece when
// the callback returns. A peer that does not read is disconnected when more than OutboundLimit
// octets wait for it, so write long answers in pieces no longer than that, the next on Drained.
func (c *Conn) Write(p []byte) {
	if c.state != stateOpen || c.closing || c.err != nil || len(p) == 0 {
		return
	}
	if c.Buffered()+len(p) > c.loop.e.o.OutboundLimit {
		c.overflow(ErrOutboundLimit)
		return
	}
	if c.out == nil {
		c.out = c.loop.buffer()
	}
	c.out = append(c.out, p...)
	c.written = true
	c.mark()
}

// Buffered returns the number of octets written that the socket has not taken yet.
func (c *Conn) Buffered() int {
	if c.state == stateClosed {
		return 0
	}
	return len(c.out) + c.gc.OutboundBuffered()
}

// flush gives gnet what was written. During a handshake it waits.
func (c *Conn) flush() {
	if len(c.out) == 0 || c.state == stateClosed || (c.tls != nil && c.tls.busy()) {
		return
	}
	out := c.out
	c.out = nil
	if c.tls != nil && c.tls.phase == tlsOn {
		c.tls.write(out)
	} else {
		c.send(out)
	}
	c.loop.free(out)
	if c.state == stateOpen {
		c.sent()
	}
}

// send writes to the socket; gnet keeps, and sends later, what it does not take. An error closes
// the connection from within.
func (c *Conn) send(p []byte) {
	if c.state == stateClosed || len(p) == 0 {
		return
	}
	_, _ = c.gc.Write(p) // on an error gnet has called OnClose
}

// sent looks what has become of the output: all is with the socket, or the peer makes us wait.
func (c *Conn) sent() {
	switch {
	case c.gc.OutboundBuffered() > 0:
		c.loop.block(c)
	case c.state == stateDraining:
		c.shut()
	case c.written && !c.closing && len(c.out) == 0:
		c.written = false
		c.drained()
	}
}

func (c *Conn) drained() {
	defer c.loop.guard(c)
	c.h.Drained()
}
