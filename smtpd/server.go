package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/smtp"
)

// Server is an SMTP server on an event loop engine. Its methods may be called on any goroutine.
type Server struct {
	Options              // but its Settings, which are in settings
	settings             atomic.Pointer[settings]
	greeting, helloReply string
	lmtpGreeting         string
	ehloEnd              string // the lines before it differ from session to session
	networks             *inbound.Networks
	open                 *inbound.Open
	room                 *eventloop.Room // nil without an engine
	turnedAway           turnedAway
	stats                stats
	sessions             atomic.Uint64 // number of the last session
	boot                 string        // tells session IDs of two runs apart
}

// listener is what the sessions of one listener share.
type listener struct {
	ListenerOptions
	srv  *Server
	door *inbound.Door
}

// New returns a server, which serves nothing yet.
func New(o Options) (*Server, error) {
	if o.Hostname == "" || o.Policy == nil || o.Submitter == nil {
		return nil, errors.New("smtpd: Hostname, Policy and Submitter are required")
	}
	o = o.withDefaults()
	s := &Server{
		Options:      o,
		greeting:     "220 " + o.Hostname + " ESMTP Postroad\r\n",
		lmtpGreeting: "220 " + o.Hostname + " LMTP Postroad\r\n",
		helloReply:   "250 " + o.Hostname + "\r\n",
		ehloEnd:      "250 HELP\r\n",
		networks:     inbound.NewNetworks(o.Limits.Limits, o.Engine.MaxConnections(), o.Trusted),
		open:         inbound.NewOpen(),
		boot:         strconv.FormatInt(time.Now().Unix(), 36),
	}
	s.networks.Crowded = s.makeRoom
	if o.Engine != nil {
		s.room = s.newRoom()
	}
	s.Configure(o.Settings)
	s.Settings = Settings{}
	return s, nil
}

// Configure puts other settings in force, as a whole. A session takes them when it begins, at EHLO
// and at MAIL: a transaction has one of them from end to end, and so has a session that sends none.
func (s *Server) Configure(o Settings) {
	o.Limits = o.Limits.withDefaults()
	s.networks.Configure(o.Limits.Limits)
	s.settings.Store(&settings{Settings: o, ehloReply: ehloLines(s.Hostname, &o.Limits)})
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
// required. A listener that is open already takes them over for new connections
// (eventloop.Listener.Configure).
func (s *Server) Listener(o ListenerOptions) (eventloop.ListenerOptions, error) {
	shared := s.listener(o)
	if o.Kind == Submissions && shared.tls() == nil {
		return eventloop.ListenerOptions{},
			errors.New("smtpd: a submissions listener needs a TLS certificate: " + o.Name)
	}
	treatment := eventloop.ListenerOptions{
		Admit: shared.admit, Crowded: s.makeRoom,
		Lost: func(ip netip.Addr) { shared.door.Lost(ip, o.ProxyFrom) },
		New:  func(c *eventloop.Conn) eventloop.Handler { return newConn(shared, c) },
	}
	if o.Kind != Submissions { // before the handshake there are no words
		treatment.Full = smtp.AppendFailure(nil, errServerFull)
	}
	return treatment, nil
}

// Shutdown stops accepting, lets messages that are being received or stored be finished, and
// answers 421 to the rest. When ctx ends first, all others get 421, too, and its error is returned.
// The engine goes on.
func (s *Server) Shutdown(ctx context.Context) error {
	s.open.Stop()
	s.Engine.StopAccepting()
	s.each((*conn).shutdown)
	err := s.open.Wait(ctx)
	if err != nil {
		s.each((*conn).end)
	}
	return err
}

func (s *Server) each(f func(*conn)) {
	s.Engine.Each(func(h eventloop.Handler) {
		if c, ok := h.(*conn); ok && c.session.l.srv == s {
			f(c)
		}
	})
}

// sessionID returns a name for a session that is unique on this node.
func (s *Server) sessionID() string {
	b := append(make([]byte, 0, 20), s.boot...)
	return string(strconv.AppendUint(append(b, '-'), s.sessions.Add(1), 36))
}

// tls is the present configuration of TLS; nil: there is none.
func (l *listener) tls() *tls.Config {
	if l.TLS != nil {
		return l.TLS()
	}
	return l.srv.TLS()
}

// needsTLS reports whether commands that are not early need TLS.
func (l *listener) needsTLS() bool { return l.Kind.Submits() && !l.AllowPlainAuth }

func (s *Server) listener(o ListenerOptions) *listener {
	return &listener{ListenerOptions: o, srv: s, door: s.networks.Door(o.Name)}
}
