package pop3

import (
	"context"
	"errors"
	"net"

	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/inbound"
)

// Server is a POP3 server on an event loop engine. Its methods may be called on any goroutine.
type Server struct {
	Options
	greeting string
	networks *inbound.Networks
	open     *inbound.Open
	// who waits for others: a shard without an owner holds up its own mailboxes only
	calls   *workers
	reads   *workers // who takes memory
	stats   stats
	keeping places // sessions whose readers keep what they have read ahead of a large message
	readers places // sessions that have messages which were read ahead
}

// listener is what the sessions of one listener share.
type listener struct {
	ListenerOptions
	srv *Server
}

// New returns a server, which serves nothing yet.
func New(o Options) (*Server, error) {
	if o.Hostname == "" || o.Maildrops == nil || o.Authenticator == nil {
		return nil, errors.New("pop3: Hostname, Maildrops and Authenticator are required")
	}
	o = o.withDefaults()
	return &Server{
		Options: o,
		// without a time stamp, which would offer APOP
		greeting: "+OK " + o.Hostname + " POP3 Postroad\r\n",
		networks: inbound.NewNetworks(o.Limits.Limits, o.Trusted),
		open:     inbound.NewOpen(),
		calls:    newWorkers(o.Limits.Calls),
		reads:    newWorkers(o.Limits.Reads),
	}, nil
}

// Serve accepts the connections of l, which belongs to the server from the call on. It returns at
// once.
func (s *Server) Serve(l net.Listener, o ListenerOptions) error {
	if o.Implicit && s.TLS() == nil {
		return errors.New("pop3: a pop3s listener needs a TLS certificate: " + l.Addr().String())
	}
	shared := &listener{ListenerOptions: o, srv: s}
	return s.Engine.Serve(l, eventloop.ListenerOptions{
		Full: errServerFull.append(nil),
		New:  func(c *eventloop.Conn) eventloop.Handler { return newConn(shared, c) },
	})
}

// Shutdown stops accepting on the engine, lets messages that are being sent or removed be finished,
// and answers [SYS/TEMP] to the rest, which deletes nothing. When ctx ends first, the others are
// cut off and its error is returned. The engine goes on.
func (s *Server) Shutdown(ctx context.Context) error {
	s.open.Stop()
	s.Engine.StopAccepting()
	s.each((*conn).shutdown)
	if err := s.open.Wait(ctx); err != nil {
		s.each((*conn).cut)
		return err
	}
	return errors.Join(s.calls.close(ctx), s.reads.close(ctx))
}

func (s *Server) each(f func(*conn)) {
	s.Engine.Each(func(h eventloop.Handler) {
		if c, ok := h.(*conn); ok && c.session.l.srv == s {
			f(c)
		}
	})
}
