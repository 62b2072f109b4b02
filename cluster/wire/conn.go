package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const protocol = "postroad/1" // ALPN

// protocolTokens is the ALPN of a join in which this side needs no more than a token's verifier.
const protocolTokens = "postroad-join/2"

// conn is an authenticated connection with another member.
type conn struct {
	*tls.Conn
	port *Port
	peer Identity
	key  string // that the peer showed (keyOf)
	out  *coalesced
	turn sync.Mutex // of writers
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.out.hold()
	n, err := c.Conn.Write(p)
	if sent := c.out.release(); err == nil && sent != nil {
		return 0, sent
	}
	return n, err
}

// Close does not say goodbye first: see the package's comment.
func (c *conn) Close() error {
	c.port.forget(c)
	return c.NetConn().Close()
}

// PeerOf returns who is at the other end of a connection of a Port: of HTTP's listener, a Stream's
// Accept or DialMember.
func PeerOf(c net.Conn) (Identity, bool) {
	own, ok := c.(*conn)
	if !ok {
		return Identity{}, false
	}
	return own.peer, true
}

// admit takes an authenticated connection into the books and asks Admit. In this order: a Recheck
// that misses the connection came before, and so did what it was for.
func (p *Port) admit(t *tls.Conn, peer Identity) (*conn, error) {
	c := &conn{Conn: t, port: p, peer: peer, out: t.NetConn().(*coalesced)}
	if certs := t.ConnectionState().PeerCertificates; len(certs) > 0 { // else identify had none
		c.key = keyOf(certs[0].RawSubjectPublicKeyInfo)
	}
	p.mu.Lock()
	switch {
	case p.mu.closed:
		p.mu.Unlock()
		return nil, errClosed
	case p.mu.members[peer.Member] >= maxPerMember:
		p.mu.Unlock()
		return nil, fmt.Errorf("member %d has %d connections already", peer.Member, maxPerMember)
	}
	p.mu.conns[c] = struct{}{}
	p.mu.members[peer.Member]++
	p.mu.Unlock()
	if err := p.opts.Admit(peer, c.key); err != nil {
		p.forget(c)
		return nil, err
	}
	return c, nil
}

func (p *Port) forget(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.mu.conns[c]; !ok {
		return
	}
	delete(p.mu.conns, c)
	if p.mu.members[c.peer.Member]--; p.mu.members[c.peer.Member] == 0 {
		delete(p.mu.members, c.peer.Member)
	}
}

// keepAlive finds peers that are gone without a word: after some 20 seconds, also while data waits
// to be acknowledged.
func keepAlive(c net.Conn) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	// A socket that refuses an option still works.
	_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second,
		Interval: 5 * time.Second, Count: 2})
	_ = setUserTimeout(t, 20*time.Second)
}

// common is what both ends want of TLS.
func (p *Port) common() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}, SessionTicketsDisabled: true,
		Certificates: []tls.Certificate{p.cert}, DynamicRecordSizingDisabled: true,
	}
}

// inboundConfig verifies a certificate if there is one: who joins has none.
func (p *Port) inboundConfig() *tls.Config {
	c := p.common()
	c.NextProtos = p.opts.inbound
	c.ClientAuth = tls.RequestClientCert
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if p := s.NegotiatedProtocol; p == protocolClaim || p == protocolTokens {
			return nil // whose certificate it is cannot be known
		}
		if s.NegotiatedProtocol != protocol {
			return errors.New("not a node: it does not speak " + protocol)
		}
		if len(s.PeerCertificates) == 0 {
			return nil
		}
		_, err := p.identify(s, x509.ExtKeyUsageClientAuth)
		return err
	}
	return c
}

// outboundConfig is for a connection to a member. The name in a certificate is not a host's, so the
// usual verification is off.
func (p *Port) outboundConfig(member uint16) *tls.Config {
	c := p.common()
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(s tls.ConnectionState) error {
		peer, err := p.identify(s, x509.ExtKeyUsageServerAuth)
		if err == nil && peer.Member != member {
			err = fmt.Errorf("member %d answers: check which address each node advertises",
				peer.Member)
		}
		if err != nil {
			return unfit{err}
		}
		return nil
	}
	return c
}

func (p *Port) identify(s tls.ConnectionState, usage x509.ExtKeyUsage) (Identity, error) {
	peer, err := identify(s.PeerCertificates, p.roots, usage)
	if err == nil && peer.Cluster != p.opts.Self.Cluster {
		err = fmt.Errorf("a member of cluster %s, and this is %s", peer.Cluster,
			p.opts.Self.Cluster)
	}
	return peer, err
}
