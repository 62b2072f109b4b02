package eventloop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// acceptors is the number of goroutines that accept from one listener. Handing a connection to its
// loop waits for the loop, so one alone would accept no more than one connection per round of a
// busy loop.
const acceptors = 4

// Back-off after a failed accept, which without descriptors fails again at once.
const (
	backoffMin = 5 * time.Millisecond
	backoffMax = time.Second
)

// Listen opens a TCP listener fit for Serve: SO_REUSEADDR (set by the net package), so that a
// restart can bind while old connections are in TIME_WAIT, and keep-alive. Connections inherit that
// from the listener on Linux, so that none has to set it.
func Listen(address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1, Control: keepAlive}
	l, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	return l, nil
}

// entry is what a connection's loop needs to know about a connection that joins it.
type entry struct {
	new           func(*Conn) Handler
	tls           *tls.Config // the handshake comes first
	client        bool        // we have dialled
	remote, local netip.AddrPort
	opened        bool // set by OnOpen, read after Enroll has returned
}

// Listener is a listener whose connections an engine accepts. Its methods may be called on any
// goroutine.
type Listener struct {
	e       *Engine
	address string       // that it listens on, as the kernel says
	socket  net.Listener // under e.mu; nil: it is closed
	o       atomic.Pointer[ListenerOptions]
}

// Serve accepts the connections of l until it is closed or the engine stops accepting. It returns
// at once; l belongs to the engine from the call on.
func (e *Engine) Serve(l net.Listener, o ListenerOptions) (*Listener, error) {
	served := &Listener{e: e, address: l.Addr().String()}
	served.o.Store(&o)
	if err := e.serve(served, l); err != nil {
		return nil, err
	}
	return served, nil
}

// serve accepts the connections of a socket for a listener.
func (e *Engine) serve(l *Listener, socket net.Listener) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.stopping {
		socket.Close()
		return ErrStopped
	}
	l.socket = socket
	e.mu.listeners = append(e.mu.listeners, socket)
	for range acceptors {
		e.accepts.Go(func() { e.accept(l, socket) })
	}
	return nil
}

// Configure has connections that are accepted from now on be treated in another way, be it as
// another protocol. The socket stays open, so that none is turned away meanwhile; connections that
// are open do not notice.
func (l *Listener) Configure(o ListenerOptions) { l.o.Store(&o) }

// Close stops accepting on this listener. Its connections live on. One that has been accepted this
// moment may still be opened; one that only the kernel knows of is reset, as with every socket that
// is closed.
func (l *Listener) Close() { l.close() }

// close reports whether it was open.
func (l *Listener) close() bool {
	l.e.mu.Lock()
	defer l.e.mu.Unlock()
	if l.socket == nil {
		return false
	}
	l.e.mu.listeners = slices.DeleteFunc(l.e.mu.listeners,
		func(other net.Listener) bool { return other == l.socket })
	l.socket.Close() // its error could only say that it is closed already
	l.socket = nil
	return true
}

// accept takes connections until the listener is closed. An error only slows it down: the usual one
// is a lack of descriptors, which passes.
func (e *Engine) accept(l *Listener, socket net.Listener) {
	wait := time.Duration(0)
	for {
		nc, err := socket.Accept()
		if err == nil {
			err = e.admit(nc, l.o.Load())
		}
		switch {
		case err == nil:
			wait = 0
		case errors.Is(err, net.ErrClosed):
			return
		default:
			e.stats.acceptErrors.Add(1)
			if wait == 0 {
				e.o.Logf("eventloop: accepting on %s: %v; will go on", l.address, err)
			}
			wait = min(max(2*wait, backoffMin), backoffMax)
			if !e.sleep(wait) {
				return
			}
		}
	}
}

// sleep waits, and reports false when the engine stops accepting meanwhile.
func (e *Engine) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.stop:
		return false
	}
}

// admit hands a connection to a loop, or refuses it.
func (e *Engine) admit(nc net.Conn, o *ListenerOptions) error {
	if o.Crowded != nil && e.crowded() {
		o.Crowded()
	}
	if e.active.Add(1) > int64(e.o.MaxConnections) {
		e.leave()
		e.refuse(nc, o, o.Full)
		return nil
	}
	peer := addrPort(nc.RemoteAddr()).Addr()
	if o.Admit != nil {
		if words, ok := o.Admit(peer); !ok {
			e.leave()
			e.refuse(nc, o, words)
			return nil
		}
	}
	in := &entry{new: o.New}
	if o.TLS != nil {
		in.tls = o.TLS()
	}
	err := e.enroll(nc, in)
	if err != nil && o.Admit != nil {
		o.Lost(peer)
	}
	return err
}

// enroll hands a connection, which has its place under the cap, to a loop.
func (e *Engine) enroll(nc net.Conn, in *entry) error {
	in.remote, in.local = addrPort(nc.RemoteAddr()), addrPort(nc.LocalAddr())
	forgetZone(nc.RemoteAddr())
	forgetZone(nc.LocalAddr())
	// duplicates the descriptor and closes nc, whatever happens
	_, err := e.client.EnrollContext(nc, in)
	if err != nil {
		e.leave()
		return fmt.Errorf("handing a connection to a loop: %w", err)
	}
	if !in.opened { // the loop could not watch it, and gnet does not say so
		e.leave()
		return errors.New("a loop did not take the connection")
	}
	return nil
}

// refuse tells the peer why it is not served. A fresh socket takes the words without waiting, or
// the peer goes without.
func (e *Engine) refuse(nc net.Conn, o *ListenerOptions, words []byte) {
	defer nc.Close()
	e.stats.refused.Add(1)
	if o.TLS != nil || len(words) == 0 {
		return
	}
	if err := nc.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		return
	}
	_, _ = nc.Write(words)
}

// forgetZone takes the zone out of a link-local IPv6 address that gnet is to see. When such a
// connection ends, gnet puts the zone's string into its pool of buffers, to be written over; but
// the string is the net package's, which uses it for all connections of that interface.
func forgetZone(a net.Addr) {
	if t, ok := a.(*net.TCPAddr); ok {
		t.Zone = ""
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
