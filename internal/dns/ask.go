package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// ednsSize is the UDP answer we ask for: it fits the smallest path without fragments (DNS flag
	// day 2020).
	ednsSize = 1232
	// maxMismatched bounds the wrong datagrams read for one question: then somebody is guessing,
	// and TCP cannot be guessed.
	maxMismatched = 32
)

var (
	errGuessing  = errors.New("too many answers to other questions")
	errTruncated = errors.New("truncated")
	errNoEDNS    = errors.New("the server does not know EDNS")
)

// Ask puts one question about a name (without its final dot) and follows the aliases of its answer.
// A question that no server answers before ctx ends is Failed.
func (c *Client) Ask(ctx context.Context, name string, qtype Type) Answer {
	ttl := time.Duration(1 << 62)
	at := dns.CanonicalName(name)
	for range maxChain {
		a := c.askServers(ctx, at, qtype)
		a.TTL = min(a.TTL, ttl)
		if a.alias == "" {
			return a
		}
		ttl, at = a.TTL, a.alias
	}
	return Answer{Outcome: NoData}
}

// askServers asks the servers one after the other, in two rounds, beginning with the one that
// answered last. A server that says that it cannot is not asked a second time.
func (c *Client) askServers(ctx context.Context, name string, qtype Type) Answer {
	servers := c.servers.Load()
	list, first := servers.list()
	said := 0
	for try := range 2 * len(list) {
		if ctx.Err() != nil || said == len(list) {
			break
		}
		if try > 0 {
			c.stats.retries.Add(1)
		}
		i := (first + try) % len(list)
		a, err := c.askServer(ctx, list[i], name, qtype, c.o.Timeout<<(try/len(list)))
		switch {
		case err == nil && a.Outcome != Failed:
			servers.good(i)
			return a
		case err == nil:
			c.stats.servfail.Add(1)
			said++
		case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
			c.stats.timeouts.Add(1)
		}
	}
	if said == 0 {
		c.stats.unanswered.Add(1)
	}
	return Answer{Outcome: Failed}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// askServer asks one server: by UDP, without EDNS when it does not know that, by TCP when the
// answer does not fit or somebody seems to be guessing.
func (c *Client) askServer(
	ctx context.Context, server, name string, qtype Type, timeout time.Duration,
) (Answer, error) {
	select {
	case c.sockets <- struct{}{}:
		defer func() { <-c.sockets }()
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
	by := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(by) {
		by = d
	}
	edns := true
	m, err := c.exchange("udp", server, question(name, qtype, edns), by)
	if err == errNoEDNS {
		edns = false
		m, err = c.exchange("udp", server, question(name, qtype, edns), by)
	}
	if err == errTruncated || err == errGuessing {
		c.stats.tcp.Add(1)
		m, err = c.exchange("tcp", server, question(name, qtype, edns), by)
		// some answer EDNS by UDP, and by TCP with an error, with too little, or by hanging up
		if edns && err != nil && !isTimeout(err) {
			m, err = c.exchange("tcp", server, question(name, qtype, false), by)
		}
	}
	if err != nil {
		return Answer{}, fmt.Errorf("ask %s for %s %s: %w", server, name, qtype, err)
	}
	return read(m, name, qtype), nil
}

func question(name string, qtype Type, edns bool) *dns.Msg {
	q := new(dns.Msg)
	q.Id = uint16(rand.Uint32()) // ChaCha8, seeded by the system
	q.RecursionDesired = true
	q.Question = []dns.Question{{Name: name, Qtype: uint16(qtype), Qclass: dns.ClassINET}}
	if edns {
		q.SetEdns0(ednsSize, false)
	}
	return q
}

// exchange sends q over a new socket, so with a port of its own that a forger has to guess too, and
// returns the answer to it.
func (c *Client) exchange(network, server string, q *dns.Msg, by time.Time) (*dns.Msg, error) {
	wire, err := q.Pack()
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Deadline: by}
	conn, err := d.Dial(network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(by); err != nil {
		return nil, err
	}
	c.stats.questions.Add(1)
	if network == "tcp" {
		return c.overTCP(conn, q, wire)
	}
	return c.overUDP(conn, q, wire)
}

var datagrams = sync.Pool{New: func() any { return new([4096]byte) }}

func (c *Client) overUDP(conn net.Conn, q *dns.Msg, wire []byte) (*dns.Msg, error) {
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	buf := datagrams.Get().(*[4096]byte)
	defer datagrams.Put(buf)
	for range maxMismatched {
		n, err := conn.Read(buf[:])
		if err != nil {
			return nil, err
		}
		m, err := accept(buf[:n], q)
		if err != errMismatch {
			return m, err
		}
		c.stats.mismatched.Add(1)
	}
	return nil, errGuessing
}

func (c *Client) overTCP(conn net.Conn, q *dns.Msg, wire []byte) (*dns.Msg, error) {
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
	if _, err := conn.Write(framed); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, err
	}
	m, err := accept(buf, q)
	if err == errMismatch {
		c.stats.mismatched.Add(1)
	}
	return m, err
}

var errMismatch = errors.New("answers another question")

// accept unpacks what came and says whether it answers q. Whatever does not is errMismatch and
// might as well not have come.
func accept(wire []byte, q *dns.Msg) (*dns.Msg, error) {
	const header = 12
	if len(wire) < header || binary.BigEndian.Uint16(wire) != q.Id {
		return nil, errMismatch
	}
	m := new(dns.Msg)
	err := m.Unpack(wire)
	edns := q.IsEdns0() != nil
	if len(wire) == header && m.Response && edns &&
		(m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		return nil, errNoEDNS // old servers send the bare header (RFC 6891 section 7)
	}
	if !answers(m, q) {
		return nil, errMismatch
	}
	if m.Truncated || err != nil { // a server that cuts its answer without saying so is no better
		return nil, errTruncated
	}
	if edns && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented ||
		m.Rcode == dns.RcodeBadVers) {
		return nil, errNoEDNS
	}
	return m, nil
}
