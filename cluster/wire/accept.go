package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"time"
)

// Serve begins to accept connections from l and returns at once. Close closes l.
func (p *Port) Serve(l net.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		l.Close()
		return
	}
	p.mu.listeners[l] = struct{}{}
	p.work.Go(func() { p.acceptAll(l) })
}

func (p *Port) acceptAll(l net.Listener) {
	// between tries when accepting fails, as without free file descriptors
	const patience = 100 * time.Millisecond
	for {
		raw, err := l.Accept()
		switch {
		case err == nil:
		case p.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default:
			p.complain("the cluster port cannot accept: %v", err)
			select {
			case <-time.After(patience):
				continue
			case <-p.ctx.Done():
				return
			}
		}
		place := p.strangers.enter(raw)
		if place == nil {
			raw.Close()
			p.complain("cluster connection from %v: too many that have not shown who they are",
				raw.RemoteAddr())
			continue
		}
		p.work.Go(func() { p.receive(raw, place) })
	}
}

// receive does with an inbound connection all that precedes its use. It holds a place among the
// strangers until its peer is known.
func (p *Port) receive(raw net.Conn, place *place) {
	defer p.strangers.leave(place)
	cut := context.AfterFunc(p.ctx, func() { raw.Close() })
	defer cut()
	keepAlive(raw)
	now := time.Now()
	waits := &patient{Conn: raw, until: now.Add(p.opts.handshakeTime)}
	c := tls.Server(&coalesced{Conn: waits}, p.inbound)
	if err := raw.SetDeadline(now.Add(min(silenceTime, p.opts.handshakeTime))); err != nil {
		raw.Close()
		return
	}
	if err := p.greet(raw, c, place); err != nil {
		raw.Close()
		// A peer that only looks whether the port is open is not worth a line.
		if p.ctx.Err() == nil && !errors.Is(err, io.EOF) {
			p.complain("cluster connection from %v: %v", raw.RemoteAddr(), err)
		}
	}
}

// greet does it within the deadlines of raw.
func (p *Port) greet(raw net.Conn, c *tls.Conn, place *place) error {
	if err := c.HandshakeContext(p.ctx); err != nil {
		return err
	}
	if c.ConnectionState().NegotiatedProtocol == protocolClaim {
		return p.serveClaim(raw, c)
	}
	pre, err := readPreface(c)
	if err != nil {
		return err
	}
	if c.ConnectionState().NegotiatedProtocol == protocolTokens && pre.purpose != forJoin {
		return errors.New("a node that joins asks for something else")
	}
	if pre.purpose == forJoin {
		defer raw.Close()
		return p.serveJoin(c, place)
	}
	state := c.ConnectionState()
	if len(state.PeerCertificates) == 0 {
		return errors.New("a node without a certificate may only join")
	}
	peer, err := p.identify(state, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return err
	}
	return p.handOver(c, peer, pre)
}

// handOver admits a member's connection, says so, and gives it to whom it is for.
func (p *Port) handOver(t *tls.Conn, peer Identity, pre preface) error {
	c, err := p.admit(t, peer)
	if err != nil {
		writeNo(t, err)
		return err
	}
	p.strangers.learn(t.NetConn())
	to, err := p.receiver(pre)
	if err != nil {
		writeNo(t, err)
		p.forget(c)
		return nil // usual while nodes start and groups come and go
	}
	if err := errors.Join(writeFrame(t, yes, nil), t.SetDeadline(time.Time{})); err != nil {
		p.forget(c)
		return err
	}
	if !to.put(c) {
		c.Close()
		return errors.New("too many connections wait to be accepted")
	}
	return nil
}

// complain logs, but not more than once a second: anybody can connect.
func (p *Port) complain(format string, args ...any) {
	skipped, ok := p.grumble.allow(time.Now())
	if !ok {
		return
	}
	if skipped > 0 {
		format, args = format+" (and %d more since the last line)", append(args, skipped)
	}
	p.opts.Logf(format, args...)
}
