package mx

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

// ask puts one question, and follows the aliases of its answer.
func (r *Resolver) ask(ctx context.Context, name string, qtype uint16) answer {
	ttl := time.Duration(1 << 62)
	at := fqdn(name)
	for range maxChain {
		a := r.askServers(ctx, at, qtype)
		a.ttl = min(a.ttl, ttl)
		if a.alias == "" {
			return a
		}
		ttl, at = a.ttl, a.alias
	}
	return answer{outcome: noData}
}

// askServers asks the servers one after the other, in two rounds, beginning with the one that
// answered last. A server that says that it cannot is not asked a second time.
func (r *Resolver) askServers(ctx context.Context, name string, qtype uint16) answer {
	list, first := r.servers.list()
	said := 0
	for try := range 2 * len(list) {
		if ctx.Err() != nil || said == len(list) {
			break
		}
		if try > 0 {
			r.stats.retries.Add(1)
		}
		i := (first + try) % len(list)
		a, err := r.askServer(ctx, list[i], name, qtype, r.o.Timeout<<(try/len(list)))
		switch {
		case err == nil && a.outcome != failed:
			r.servers.good(i)
			return a
		case err == nil:
			r.stats.servfail.Add(1)
			said++
		case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
			r.stats.timeouts.Add(1)
		}
	}
	return answer{outcome: failed}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// askServer asks one server: by UDP, without EDNS when it does not know that, by TCP when the
// answer does not fit or somebody seems to be guessing.
func (r *Resolver) askServer(ctx context.Context, server, name string, qtype uint16, timeout time.Duration) (answer, error) {
	select {
	case r.sockets <- struct{}{}:
		defer func() { <-r.sockets }()
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	by := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(by) {
		by = d
	}
	m, err := r.exchange("udp", server, question(name, qtype, true), by)
	if err == errNoEDNS {
		m, err = r.exchange("udp", server, question(name, qtype, false), by)
	}
	if err == errTruncated || err == errGuessing {
		r.stats.tcp.Add(1)
		m, err = r.exchange("tcp", server, question(name, qtype, true), by)
	}
	if err != nil {
		return answer{}, fmt.Errorf("ask %s for %s %s: %w", server, name, dns.TypeToString[qtype], err)
	}
	return read(m, name, qtype), nil
}

func question(name string, qtype uint16, edns bool) *dns.Msg {
	q := new(dns.Msg)
	q.Id = uint16(rand.Uint32()) // ChaCha8, seeded by the system
	q.RecursionDesired = true
	q.Question = []dns.Question{{Name: name, Qtype: qtype, Qclass: dns.ClassINET}}
	if edns {
		q.SetEdns0(ednsSize, false)
	}
	return q
}

// exchange sends q over a new socket, so with a port of its own that a forger has to guess too, and
// returns the answer to it.
func (r *Resolver) exchange(network, server string, q *dns.Msg, by time.Time) (*dns.Msg, error) {
	wire, err := q.Pack()
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Deadline: by}
	c, err := d.Dial(network, server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(by); err != nil {
		return nil, err
	}
	r.stats.questions.Add(1)
	if network == "tcp" {
		return r.overTCP(c, q, wire)
	}
	return r.overUDP(c, q, wire)
}

var datagrams = sync.Pool{New: func() any { return new([4096]byte) }}

func (r *Resolver) overUDP(c net.Conn, q *dns.Msg, wire []byte) (*dns.Msg, error) {
	if _, err := c.Write(wire); err != nil {
		return nil, err
	}
	buf := datagrams.Get().(*[4096]byte)
	defer datagrams.Put(buf)
	for range maxMismatched {
		n, err := c.Read(buf[:])
		if err != nil {
			return nil, err
		}
		m, err := accept(buf[:n], q)
		if err != errMismatch {
			return m, err
		}
		r.stats.mismatched.Add(1)
	}
	return nil, errGuessing
}

func (r *Resolver) overTCP(c net.Conn, q *dns.Msg, wire []byte) (*dns.Msg, error) {
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
	if _, err := c.Write(framed); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, buf); err != nil {
		return nil, err
	}
	m, err := accept(buf, q)
	if err == errMismatch {
		r.stats.mismatched.Add(1)
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
	if len(wire) == header && m.Response && edns && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		return nil, errNoEDNS // old servers send the bare header (RFC 6891 section 7)
	}
	if !answers(m, q) {
		return nil, errMismatch
	}
	if m.Truncated || err != nil { // a server that cuts its answer without saying so is no better
		return nil, errTruncated
	}
	if edns && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented || m.Rcode == dns.RcodeBadVers) {
		return nil, errNoEDNS
	}
	return m, nil
}
