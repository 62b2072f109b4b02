package eventloop

import "time"

// SetDeadline arranges a call of Timeout after d, at a resolution of 100 ms, in place of an earlier
// one. 0 means none.
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
