package eventloop

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// ListenInstead opens an address, though listeners that are to go may be in its way, as 0.0.0.0:25
// is in that of 127.0.0.1:25. These are closed only when the address cannot be opened beside them,
// and are back when it cannot be opened at all. giveUp closes what was opened and opens again what
// was closed; of several, the last is given up first.
func (e *Engine) ListenInstead(
	address string, going []*Listener,
) (socket net.Listener, giveUp func(), err error) {
	socket, err = Listen(address)
	if err == nil {
		return socket, func() { socket.Close() }, nil
	}
	var closed []*Listener
	if errors.Is(err, syscall.EADDRINUSE) {
		for _, l := range going {
			if l.hasPort(address) && l.close() {
				closed = append(closed, l)
			}
		}
	}
	if len(closed) == 0 {
		return nil, nil, err
	}
	back := func() {
		for _, l := range closed {
			l.reopen()
		}
	}
	if socket, err = Listen(address); err != nil {
		back()
		return nil, nil, err
	}
	return socket, func() {
		socket.Close()
		back()
	}, nil
}

// hasPort reports whether it listens on the port of an address.
func (l *Listener) hasPort(address string) bool {
	_, wanted, err := net.SplitHostPort(address)
	_, has, bad := net.SplitHostPort(l.address)
	return err == nil && bad == nil && wanted == has
}

// reopen takes connections again. Who closed it was alone on the address, so that what can go wrong
// is that somebody else has it now: then it stays closed, and the log says so.
func (l *Listener) reopen() {
	socket, err := Listen(l.address)
	if err == nil {
		err = l.e.serve(l, socket)
	}
	if err != nil {
		l.e.o.Logf("eventloop: %v", fmt.Errorf("%s cannot be opened again: %w", l.address, err))
	}
}
