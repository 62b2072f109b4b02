package eventloop

import (
	"crypto/tls"
	"net/netip"
	"time"
)

// Conn is one connection. All methods except Post must be called on its loop, that is, from a Handler callback or a function
// given to Post. After Closed they do nothing.
type Conn struct{}

// Write queues p, which is copied. What one callback writes goes to the socket in one piece when the callback returns. A peer that does not read
// is disconnected when more than OutboundLimit octets wait for it.
func (c *Conn) Write(p []byte) { panic("not yet") }

// Buffered returns the number of octets written that the socket has not taken yet.
func (c *Conn) Buffered() int { panic("not yet") }

// SetDeadline arranges a call of Timeout after d, at a resolution of 100 ms, in place of an earlier one. 0 means none.
func (c *Conn) SetDeadline(d time.Duration) { panic("not yet") }

// StartTLS begins a handshake as server when the current callback has returned and what it wrote is sent. What Data does not consume in that
// callback was sent in clear and too early: the connection is then aborted with ErrInjection (CVE-2011-0411).
func (c *Conn) StartTLS(config *tls.Config) { panic("not yet") }

// AcceptTLS is StartTLS for a connection on which TLS follows without an invitation, as after a PROXY header: what Data does
// not consume are the first octets of the handshake.
func (c *Conn) AcceptTLS(config *tls.Config) { panic("not yet") }

// TLS returns the state of TLS, or nil in clear. The handshake must be complete.
func (c *Conn) TLS() *tls.ConnectionState { panic("not yet") }

// Post calls f on the connection's loop. It may be called on any goroutine, never blocks for long and never calls f itself. Many Posts to one loop cost
// one wake-up. f runs even after the connection was closed; it is dropped only when the engine has stopped.
func (c *Conn) Post(f func()) { panic("not yet") }

// Resume calls Data again with what was kept, if anything, when the current callback has returned.
func (c *Conn) Resume() { panic("not yet") }

// Close sends what is buffered, for at most Options.Linger, and closes the connection. Nothing is received or written any more.
func (c *Conn) Close() { panic("not yet") }

// Abort closes the connection when the current callback has returned and drops what is buffered.
func (c *Conn) Abort() { panic("not yet") }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() netip.AddrPort { panic("not yet") }

// LocalAddr returns our own address.
func (c *Conn) LocalAddr() netip.AddrPort { panic("not yet") }
