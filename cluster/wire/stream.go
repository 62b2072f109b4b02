package wire

import (
	"fmt"
	"net"
	"strconv"
	"sync"
)

const (
	maxWaiting     = 16 // connections of a group that nobody has accepted yet
	maxWaitingHTTP = 64
)

// Stream is where the raft connections of one group come in and go out. It is a net.Listener.
type Stream struct {
	port    *Port
	group   uint64
	waiting *backlog
}

// Stream returns the open stream of a group; there is one until it is closed, and then a new one
// may be had. Inbound connections for groups without are refused.
func (p *Port) Stream(group uint64) *Stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.mu.streams[group]; s != nil {
		return s
	}
	s := &Stream{p, group, newBacklog(maxWaiting, memberAddr(p.opts.Self.Member))}
	if p.mu.closed {
		s.waiting.close()
		return s
	}
	p.mu.streams[group] = s
	return s
}

// Accept waits for a connection. After Close it returns net.ErrClosed.
func (s *Stream) Accept() (net.Conn, error) { return s.waiting.Accept() }

// Addr returns an address whose String is this member's number, as raft's configurations have it.
func (s *Stream) Addr() net.Addr { return s.waiting.addr }

// Close ends Accept. Connections that were accepted or dialled stay open.
func (s *Stream) Close() error {
	s.port.mu.Lock()
	if s.port.mu.streams[s.group] == s {
		delete(s.port.mu.streams, s.group)
	}
	s.port.mu.Unlock()
	s.waiting.close()
	return nil
}

// receiver returns who takes an inbound connection.
func (p *Port) receiver(pre preface) (*backlog, error) {
	if pre.purpose == forHTTP {
		return p.http, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.mu.streams[pre.group]; s != nil {
		return s.waiting, nil
	}
	return nil, fmt.Errorf("group %d is not here", pre.group)
}

// memberAddr is a member's number as a net.Addr.
type memberAddr uint16

func (memberAddr) Network() string  { return "postroad" }
func (m memberAddr) String() string { return strconv.Itoa(int(m)) }

// backlog holds connections until they are accepted. It is a net.Listener.
type backlog struct {
	addr net.Addr
	done chan struct{}
	mu   struct {
		sync.Mutex
		closed bool
	}
	conns chan net.Conn // filled under mu
}

func newBacklog(limit int, addr net.Addr) *backlog {
	return &backlog{addr: addr, done: make(chan struct{}), conns: make(chan net.Conn, limit)}
}

// put reports whether there was room.
func (b *backlog) put(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.closed {
		return false
	}
	select {
	case b.conns <- c:
		return true
	default:
		return false
	}
}

func (b *backlog) Accept() (net.Conn, error) {
	select {
	case <-b.done:
		return nil, errClosed
	default:
	}
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.done:
		return nil, errClosed
	}
}

func (b *backlog) Addr() net.Addr { return b.addr }

func (b *backlog) Close() error {
	b.close()
	return nil
}

func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.closed {
		return
	}
	b.mu.closed = true
	close(b.done)
	for {
		select {
		case c := <-b.conns:
			c.Close()
		default:
			return
		}
	}
}
