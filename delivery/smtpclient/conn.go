// Package smtpclient is the client side of one SMTP connection (RFC 5321), or one of LMTP (RFC
// 2033): greeting, EHLO, STARTTLS, AUTH, then mail transactions one after the other. It blocks;
// every wait has a deadline. Policy (which host, how many connections, when again) is the caller's.
//
// Invariants:
//   - What the peer says is believed only when it was its turn: octets that nobody waits for end
//     the connection, and those after the reply to STARTTLS are thrown away.
//   - After a failure that leaves the dialogue in doubt the connection is dead: Usable is false and
//     stays so.
//   - Each recipient of a transaction gets exactly one Status. Unknown is set in it if and only if
//     the end of mail data was handed to the system as a whole and no valid reply to it came.
//   - Between transactions a connection holds no buffer: ten thousand idle ones cost little more
//     than their sockets.
package smtpclient

import (
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/postroad/postroad/internal/smtp"
)

// Conn is one outgoing connection after its greeting and EHLO. Used by one goroutine, except Abort.
type Conn struct {
	o      *Options
	t      Timeouts
	raw    net.Conn // the transport
	nc     net.Conn // raw, or TLS over it
	offers Offers
	tls    string

	by     time.Time // the deadline in force
	buf    *buffers  // nil between transactions
	r, w   int       // buf.in[r:w] is yet to be read
	parser smtp.ReplyParser
	bulky  bool      // the parser has grown by a long reply
	vec    [2][]byte // what bufs starts from
	bufs   net.Buffers

	dead         *Error // why it cannot be used any more
	needReset    bool   // a transaction was left open at the peer
	transactions int
	x            exchange // the transaction under way
}

// Usable reports whether another transaction may be tried on the connection. It costs nothing.
func (c *Conn) Usable() bool {
	return c.dead == nil && (c.offers.MailMax == 0 || c.transactions < c.offers.MailMax)
}

// Alive asks the kernel, too, whether the peer has closed or spoken (421) since the last
// transaction: for a connection that was idle for a while. It does not block.
func (c *Conn) Alive() bool {
	if !c.Usable() {
		return false
	}
	if silent, known := silent(c.raw); known && !silent {
		c.dead = &Error{Status: ours(StepIdle, 421, "4.4.2",
			"The connection was closed while idle")}
	}
	return c.dead == nil
}

// silent peeks into the socket: nothing to read means that all is well.
func silent(nc net.Conn) (silent, known bool) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false, false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false, false
	}
	err = rc.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = err == syscall.EAGAIN || err == syscall.EINTR
	})
	return silent, err == nil
}

// Err is why the connection is no more usable, nil while it is.
func (c *Conn) Err() *Error { return c.dead }

// Offers returns what the peer offered. Read-only.
func (c *Conn) Offers() *Offers { return &c.offers }

// TLS describes the protection as log lines do ("TLSv1.3 TLS_AES_128_GCM_SHA256"), "" in clear.
func (c *Conn) TLS() string { return c.tls }

// Remote is the peer's end of the connection.
func (c *Conn) Remote() netip.AddrPort { return c.o.Addr }

// Local is our end of the connection.
func (c *Conn) Local() netip.AddrPort {
	if a, ok := c.raw.LocalAddr().(*net.TCPAddr); ok {
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// Transactions counts the transactions tried on the connection.
func (c *Conn) Transactions() int { return c.transactions }

// Quit says QUIT if that makes sense, waits briefly for the reply (RFC 5321 4.1.1.10), and closes.
func (c *Conn) Quit() {
	if c.dead == nil {
		c.borrow()
		c.command(StepQuit, c.t.Quit, "QUIT")
		c.giveBack()
		c.dead = &Error{Status: ours(StepQuit, 421, "4.4.2", "The connection was ended by us")}
	}
	c.close()
}

// close closes the transport; a TLS close notification would be one more wait for a peer that has
// said 221.
func (c *Conn) close() { c.raw.Close() }

// Abort closes at once; what is under way fails. May be called by any goroutine.
func (c *Conn) Abort() { c.raw.Close() }
