package eventloop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
)

// secure is the TLS side of a connection.
//
// crypto/tls wants a net.Conn that blocks. A handshake gets one (handshake.go), on a goroutine that
// lives no longer than the handshake. After it crypto/tls keeps its state when a read fails with a
// temporary error, so the loop itself calls Read, on a transport that has exactly the octets which
// came from the socket and then fails so.
type secure struct {
	c      *Conn
	conn   *tls.Conn
	config *tls.Config
	phase  tlsPhase
	start  tlsStart
	client bool
	shake  *handshake // until the handshake is done
	in     []byte     // octets from the socket that conn has not read yet
}

// tlsPhase only ever moves on.
type tlsPhase uint8

const (
	tlsWanted tlsPhase = iota // StartTLS was called; begins when the callback has returned
	// waiting for the client's first octets, for a place, or for the handshake
	tlsShaking
	tlsOn
	tlsFailed
)

// tlsStart is how TLS came about.
type tlsStart uint8

const (
	tlsImplicit tlsStart = iota // from the first octet: the handler's Open follows
	tlsInvited                  // by a command such as STARTTLS
	tlsFollows                  // after a preamble, such as a PROXY header
)

// StartTLS begins a handshake as server when the current callback has returned and what it wrote is
// sent. What Data does not consume in that callback was sent in clear and too early: the connection
// is then aborted with ErrInjection (CVE-2011-0411).
func (c *Conn) StartTLS(config *tls.Config) { c.startTLS(config, tlsInvited, false) }

// StartTLSClient is StartTLS for the side that has dialled: it begins a handshake as client.
func (c *Conn) StartTLSClient(config *tls.Config) { c.startTLS(config, tlsInvited, true) }

// AcceptTLS is StartTLS for a connection on which TLS follows without an invitation, as after a
// PROXY header: what Data does not consume are the first octets of the handshake.
func (c *Conn) AcceptTLS(config *tls.Config) { c.startTLS(config, tlsFollows, false) }

func (c *Conn) startTLS(config *tls.Config, start tlsStart, client bool) {
	if c.tls != nil {
		panic("eventloop: TLS is already in use")
	}
	c.tls = &secure{c: c, config: config, start: start, client: client}
	c.mark()
}

// begin is called by settle when what belongs before TLS has been sent.
func (s *secure) begin() {
	c := s.c
	early := c.kept
	c.kept = nil
	if len(early) > 0 && s.start == tlsInvited {
		c.fail(ErrInjection)
		return
	}
	s.phase = tlsShaking
	s.shake = newHandshake(s, func() { c.Post(c.control) })
	c.setLimit(c.loop.e.o.HandshakeLimit)
	if s.client {
		s.conn = tls.Client(&transport{s}, s.config)
		s.shake.launch()
	} else {
		s.conn = tls.Server(&transport{s}, s.config)
	}
	s.config = nil
	s.received(early)
	c.loop.free(early)
}

// busy reports whether the handler's output has to wait.
func (s *secure) busy() bool { return s.phase == tlsShaking || s.phase == tlsFailed }

// received takes octets from the socket.
func (s *secure) received(p []byte) {
	switch s.phase {
	case tlsWanted: // cannot happen: settle runs between two reads
		s.c.fail(ErrInjection)
	case tlsShaking:
		s.shake.feed(p)
	case tlsOn:
		if len(s.in) > 0 { // the handler is behind
			s.in = append(s.in, p...)
			return
		}
		s.in = p
		s.pump()
		s.in = bytes.Clone(s.in) // p is gnet's
	}
}

// held returns the number of octets received and not yet decrypted.
func (s *secure) held() int {
	if s.shake != nil {
		return s.shake.held()
	}
	return len(s.in)
}

// pump decrypts what there is and delivers it, as long as the handler follows.
func (s *secure) pump() {
	c, l := s.c, s.c.loop
	if l.plain == nil {
		l.plain = make([]byte, 16<<10) // a TLS record at most
	}
	for c.err == nil && !c.closing && !c.stalled() {
		n, err := s.conn.Read(l.plain)
		if n > 0 {
			c.deliver(l.plain[:n])
		}
		if err != nil {
			s.readError(err)
			break
		}
	}
	if len(s.in) == 0 {
		s.in = nil
	}
	s.sendSealed() // Read answers a key update and sends alerts
}

func (s *secure) readError(err error) {
	switch {
	case errors.Is(err, errNoData):
	case errors.Is(err, io.EOF): // close_notify
		s.c.fail(io.EOF)
	default:
		s.c.fail(fmt.Errorf("TLS: %w", err))
	}
}

// write encrypts and sends p.
func (s *secure) write(p []byte) {
	if _, err := s.conn.Write(p); err != nil {
		s.c.fail(fmt.Errorf("TLS: %w", err))
	}
	s.sendSealed()
}

// closeWrite sends close_notify, without which the peer cannot tell the end from a cut.
func (s *secure) closeWrite() {
	_ = s.conn.CloseWrite() // fails only after an earlier error
	s.sendSealed()
}

func (s *secure) sendSealed() {
	l := s.c.loop
	s.c.send(l.sealed)
	if cap(l.sealed) > 4*bufferKeep {
		l.sealed = nil
	}
	l.sealed = l.sealed[:0]
}

// done is called on the loop at the end of the handshake.
func (s *secure) done(err error) {
	c := s.c
	if c.state == stateClosed || s.phase != tlsShaking {
		return
	}
	if err != nil {
		s.failed(fmt.Errorf("TLS handshake: %w", err))
		return
	}
	c.loop.e.stats.handshakes.Add(1)
	s.phase = tlsOn
	s.in, s.shake = s.shake.rest(), nil
	c.setLimit(0)
	s.tell(nil)
	s.pump()
	c.control()
}

// failed ends the connection when a handshake has.
func (s *secure) failed(err error) {
	s.c.loop.e.stats.handshakeFailures.Add(1)
	s.phase = tlsFailed
	s.abandon(err)
	s.tell(err)
	s.c.fail(err)
}

// tell lets the handler know how the handshake has ended.
func (s *secure) tell(err error) {
	defer s.c.loop.guard(s.c)
	s.c.h.TLSDone(err)
	if err == nil && s.start == tlsImplicit {
		s.c.h.Open()
	}
}

// closed is called when the socket is gone.
func (s *secure) closed(reason error) {
	if s.shake == nil {
		return
	}
	if reason == nil {
		reason = io.ErrClosedPipe
	}
	s.abandon(reason)
}

// abandon ends the handshake, whether it runs or waits.
func (s *secure) abandon(err error) {
	s.shake.end(err)
	s.c.loop.e.shakes.withdraw(s.shake)
}
