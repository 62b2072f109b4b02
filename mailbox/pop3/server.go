package pop3

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/inbound"
)

// Server is a POP3 server on an event loop engine. Its methods may be called on any goroutine.
type Server struct {
	Options  // but its Limits, which are in limits
	limits   atomic.Pointer[Limits]
	greeting string
	networks *inbound.Networks
	open     *inbound.Open
	room     *eventloop.Room // nil without an engine
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
	srv  *Server
	door *inbound.Door
}

// New returns a server, which serves nothing yet.
func New(o Options) (*Server, error) {
	if o.Hostname == "" || o.Maildrops == nil || o.Authenticator == nil {
		return nil, errors.New("pop3: Hostname, Maildrops and Authenticator are required")
	}
	o = o.withDefaults()
	s := &Server{
		Options: o,
		// without a time stamp, which would offer APOP
		greeting: "+OK " + o.Hostname + " POP3 Postroad\r\n",
		networks: inbound.NewNetworks(o.Limits.Limits, o.Engine.MaxConnections(), o.Trusted),
		open:     inbound.NewOpen(),
		calls:    newWorkers(o.Calls),
		reads:    newWorkers(o.Reads),
	}
	s.networks.Crowded = s.makeRoom
	if o.Engine != nil {
		s.room = s.newRoom()
	}
	s.Configure(o.Limits)
	s.Limits = Limits{}
	return s, nil
}

// Configure puts other limits in force, as a whole, for connections that begin from now on. A
// session has those of its beginning to its end.
func (s *Server) Configure(l Limits) {
	l = l.withDefaults()
	s.networks.Configure(l.Limits)
	s.limits.Store(&l)
}

// Serve accepts the connections of l, which belongs to the server from the call on. It returns at
// once.
func (s *Server) Serve(l net.Listener, o ListenerOptions) error {
	if o.Name == "" {
		o.Name = l.Addr().String()
	}
	treatment, err := s.Listener(o)
	if err == nil {
		_, err = s.Engine.Serve(l, treatment)
	}
	return err
}

// Listener returns how the engine is to treat the connections of a listener of this server. Name is
// required. One that is open already takes them over for new connections
// (eventloop.Listener.Configure).
func (s *Server) Listener(o ListenerOptions) (eventloop.ListenerOptions, error) {
	shared := s.listener(o)
	if o.Implicit && shared.tls() == nil {
		return eventloop.ListenerOptions{},
			errors.New("pop3: a pop3s listener needs a TLS certificate")
	}
	treatment := eventloop.ListenerOptions{
		Admit: shared.admit, Crowded: s.makeRoom,
		Lost: func(ip netip.Addr) { shared.door.Lost(ip, o.ProxyFrom) },
		New:  func(c *eventloop.Conn) eventloop.Handler { return newConn(shared, c) },
	}
	if !o.Implicit { // before the handshake there are no words
		treatment.Full = errServerFull.append(nil)
	}
	return treatment, nil
}

// tls is the present configuration of TLS; nil: there is none.
func (l *listener) tls() *tls.Config {
	if l.TLS != nil {
		return l.TLS()
	}
	return l.srv.TLS()
}

func (l *listener) authenticator() Authenticator {
	if l.Authenticator != nil {
		return l.Authenticator
	}
	return l.srv.Authenticator
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

func (s *Server) listener(o ListenerOptions) *listener {
	return &listener{ListenerOptions: o, srv: s, door: s.networks.Door(o.Name)}
}
