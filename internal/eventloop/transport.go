package eventloop

import (
	"net"
	"time"
)

// transport is the net.Conn that crypto/tls sees. During the handshake it is used by the
// handshake's goroutine and blocks; after it, by the loop and does not.
type transport struct{ s *secure }

// noData is the error of a Read that has to be repeated when there is more. crypto/tls keeps its
// state when an error is temporary.
type noData struct{}

func (noData) Error() string   { return "no data yet" }
func (noData) Timeout() bool   { return true }
func (noData) Temporary() bool { return true }

var errNoData net.Error = noData{}

func (t *transport) Read(p []byte) (int, error) {
	s := t.s
	if s.shake != nil {
		return s.shake.read(p)
	}
	if len(s.in) == 0 {
		return 0, errNoData
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (t *transport) Write(p []byte) (int, error) {
	s := t.s
	if s.shake != nil {
		sealed := append([]byte(nil), p...)
		s.c.Post(func() { s.c.send(sealed) })
		return len(p), nil
	}
	l := s.c.loop
	l.sealed = append(l.sealed, p...)
	return len(p), nil
}

func (t *transport) Close() error { return nil }
func (t *transport) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(t.s.c.local)
}
func (t *transport) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(t.s.c.remote)
}
func (t *transport) SetDeadline(time.Time) error      { return nil }
func (t *transport) SetReadDeadline(time.Time) error  { return nil }
func (t *transport) SetWriteDeadline(time.Time) error { return nil }
