package pop3

import (
	"net/netip"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/inbound"
)

// This file decides who may connect (inbound.Door). When places run short the connections go that
// have been silent for longest without a log-in (eventloop.Room).

// admit is eventloop.ListenerOptions.Admit.
func (l *listener) admit(ip netip.Addr) (words []byte, ok bool) {
	f := refusal(l.door.Accepted(ip, l.ProxyFrom))
	if f == nil {
		return nil, true
	}
	l.srv.stats.refused.Add(1)
	if l.Implicit { // before the handshake there are no words
		return nil, false
	}
	return f.append(nil), false
}

// refusal is what a client is told that has no place.
func refusal(v inbound.Verdict) *failure {
	switch v {
	case inbound.ServerFull:
		return errServerFull
	case inbound.NetworkFull:
		return errNetworkFull
	}
	return nil
}

// enter asks whether there is a place for this client, unless that was known when the connection
// was accepted.
func (s *Session) enter() *failure {
	if s.admitted {
		return nil
	}
	if f := refusal(s.l.door.Enter(s.addr.Addr())); f != nil {
		return f
	}
	s.admitted = true
	return nil
}

// Silence returns how long the client has said nothing, and whether the session may be ended for
// it when places run short: those that have not logged in may, but for trusted clients'.
func (s *Session) Silence(now time.Time) (d time.Duration, ok bool) {
	switch s.state {
	case stateProxy, stateHandshaking, stateAuthorization, statePassword, stateSASL:
		return now.Sub(s.since), !s.l.srv.Trusted(s.addr.Addr())
	}
	return 0, false
}

func (s *Server) newRoom() *eventloop.Room {
	return s.Engine.NewRoom(func(h eventloop.Handler) (time.Duration, bool) {
		if c, ok := h.(*conn); ok && c.session.l.srv == s {
			return c.session.Silence(time.Now())
		}
		return 0, false
	}, func(h eventloop.Handler) { h.(*conn).giveWay() })
}

func (s *Server) makeRoom() {
	if s.room != nil {
		s.room.Make()
	}
}

// giveWay ends a silent session in favour of others.
func (h *conn) giveWay() {
	h.srv().stats.refused.Add(1)
	h.c.Write(errGaveWay.append(nil))
	h.c.Drop()
}
