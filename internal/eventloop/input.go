package eventloop

// received takes octets from the socket. p is gnet's and valid during the call only.
func (c *Conn) received(p []byte) {
	switch {
	case c.state != stateOpen || c.closing || c.err != nil:
		// after Close what comes is read, so that the peer's end is seen, and dropped
	case c.tls != nil:
		c.tls.received(p)
	default:
		c.deliver(p)
	}
	c.control()
}

// deliver offers the handler what was kept and, after it, p.
func (c *Conn) deliver(p []byte) {
	if len(c.kept) > 0 {
		c.kept = append(c.kept, p...)
		p = c.kept
	}
	if len(p) == 0 {
		return
	}
	c.keep(p, c.data(p))
}

func (c *Conn) data(p []byte) (n int) {
	defer c.loop.guard(c)
	if n = c.h.Data(p); n < 0 || n > len(p) {
		n = 0
		panic("eventloop: Handler.Data consumed more than it was given")
	}
	return n
}

// keep stores p without its first n octets. p may be c.kept.
func (c *Conn) keep(p []byte, n int) {
	switch rest := p[n:]; {
	case len(rest) == 0:
		c.loop.free(c.kept)
		c.kept = nil
	case len(c.kept) > 0:
		c.kept = c.kept[:copy(c.kept, rest)]
	default:
		c.kept = append(c.loop.buffer(), rest...)
	}
}

// stalled reports whether the handler is so far behind that it gets nothing more for now.
func (c *Conn) stalled() bool { return len(c.kept) > c.loop.e.o.InboundLimit }

// control stops or starts reading from the socket, so that a handler that does not consume makes
// the peer wait instead of filling our memory. gnet sets its own interest again when it has output
// to send, so some more may come in while we pause; there is a bound on that.
func (c *Conn) control() {
	if c.state != stateOpen || c.err != nil {
		return
	}
	held := len(c.kept)
	if c.tls != nil {
		held += c.tls.held()
	}
	switch limit := c.loop.e.o.InboundLimit; {
	case held > 4*limit+2*readBuffer:
		c.overflow(ErrInboundLimit)
	case held > limit:
		if c.paused = c.watch(false); !c.paused {
			c.overflow(ErrInboundLimit)
		}
	case c.paused:
		c.paused = !c.watch(true)
	}
}

func (c *Conn) overflow(err error) {
	c.loop.e.stats.overflows.Add(1)
	c.fail(err)
}

// Resume calls Data again with what was kept, if anything, when the current callback has returned.
func (c *Conn) Resume() {
	c.resuming = true
	c.mark()
}

func (c *Conn) resume() {
	if c.state != stateOpen || c.closing || c.err != nil {
		return
	}
	c.deliver(nil)
	if c.tls != nil && c.tls.phase == tlsOn {
		c.tls.pump()
	}
	c.control()
}
