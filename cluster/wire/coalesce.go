package wire

import (
	"net"
	"sync"
)

// coalesced is a TCP connection under TLS. TLS writes each record of 16 KiB by itself; the records
// of one Write of ours go out in one system call, or one per coalesceMost octets.
type coalesced struct {
	net.Conn
	mu   sync.Mutex // also keeps what TLS writes by itself, an alert, in order
	held *[]byte    // nil: nothing is held back
}

const coalesceMost = 256 << 10

var coalesceBuffers = sync.Pool{New: func() any { return new(make([]byte, 0, 64<<10)) }}

// hold begins to gather.
func (c *coalesced) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = coalesceBuffers.Get().(*[]byte)
	}
}

// Write implements net.Conn.
func (c *coalesced) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return c.Conn.Write(p)
	}
	*c.held = append(*c.held, p...)
	if len(*c.held) < coalesceMost {
		return len(p), nil
	}
	return len(p), c.sendLocked()
}

// release sends what was gathered.
func (c *coalesced) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.sendLocked()
	if cap(*c.held) <= 2*coalesceMost {
		coalesceBuffers.Put(c.held)
	}
	c.held = nil
	return err
}

func (c *coalesced) sendLocked() error {
	b := *c.held
	*c.held = b[:0]
	if len(b) == 0 {
		return nil
	}
	_, err := c.Conn.Write(b)
	return err
}
