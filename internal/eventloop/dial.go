package eventloop

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// DialOptions say what becomes of an outgoing connection.
type DialOptions struct {
	// TLS, when set, makes the connection begin with a handshake as client.
	TLS *tls.Config
	// Source is the local address; the zero value leaves it to the system.
	Source netip.Addr
	// Timeout bounds the opening of the connection; 0 leaves it to ctx and the system.
	Timeout time.Duration
	// New makes the handler. It runs on the connection's loop, once TCP is open.
	New func(*Conn) Handler
}

// Dial opens a connection to address (host:port) and hands it to a loop. It blocks until that is
// done, so it is not to be called on a loop. An error says that there is no connection and that New
// was not called. Connections of both directions share MaxConnections. StopAccepting waits for a
// Dial in progress: cancel its ctx first.
func (e *Engine) Dial(ctx context.Context, address string, o *DialOptions) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.accepts.Done()
	if e.active.Add(1) > int64(e.o.MaxConnections) {
		e.leave()
		return fmt.Errorf("connecting to %s: %w", address, ErrFull)
	}
	d := net.Dialer{Timeout: o.Timeout, KeepAlive: -1}
	if o.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.Source, 0))
	}
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		e.leave()
		return fmt.Errorf("connecting: %w", err)
	}
	return e.enroll(nc, &entry{new: o.New, tls: o.TLS, client: true})
}

// enter keeps Shutdown from going on before accepts.Done.
func (e *Engine) enter() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.stopping {
		return ErrStopped
	}
	e.accepts.Add(1)
	return nil
}
