package smtpd

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
)

// This file decides who may connect (inbound.Door). When places run short the connections go that
// have been silent for longest (eventloop.Room).

// admit is eventloop.ListenerOptions.Admit.
func (l *listener) admit(ip netip.Addr) (words []byte, ok bool) {
	f := refusal(l.door.Accepted(ip, l.ProxyFrom))
	if f == nil {
		return nil, true
	}
	l.srv.stats.rejected(f)
	l.srv.turnedAway.log(l, ip, f)
	if l.Kind == Submissions { // before the handshake there are no words
		return nil, false
	}
	return smtp.AppendFailure(nil, f), false
}

// refusal is what a client is told that has no place.
func refusal(v inbound.Verdict) *smtp.Failure {
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
func (s *Session) enter() *smtp.Failure {
	if s.admitted {
		return nil
	}
	if f := refusal(s.l.door.Enter(s.client.Addr.Addr())); f != nil {
		return f
	}
	s.admitted = true
	return nil
}

// Silence returns how long the client has said nothing, and whether the session may be ended for
// it when places run short. Users and trusted clients keep theirs; whoever waits for us is not
// silent.
func (s *Session) Silence(now time.Time) (d time.Duration, ok bool) {
	switch {
	case s.client.User != nil, s.l.srv.Trusted(s.client.Addr.Addr()):
		return 0, false
	case s.state == stateHandshaking:
	case parkedStates.has(s.state), s.state == stateClosed:
		return 0, false
	}
	return now.Sub(s.since), true
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
	l := h.session.l
	l.srv.stats.rejected(errGaveWay)
	l.srv.turnedAway.log(l, h.session.client.Addr.Addr(), errGaveWay)
	h.c.Write(smtp.AppendFailure(nil, errGaveWay))
	h.c.Drop()
}

// turnedAway logs refusals of connections, one in a second: a flood does not fill the log.
type turnedAway struct {
	mu      sync.Mutex
	last    time.Time
	skipped int
}

func (t *turnedAway) log(l *listener, ip netip.Addr, f *smtp.Failure) {
	if l.srv.Log == maillog.Discard {
		return
	}
	now := time.Now()
	t.mu.Lock()
	if now.Sub(t.last) < time.Second {
		t.skipped++
		t.mu.Unlock()
		return
	}
	skipped := t.skipped
	t.last, t.skipped = now, 0
	t.mu.Unlock()
	text := f.Text
	if skipped > 0 {
		text += fmt.Sprintf(" (and %d connections more since the last line)", skipped)
	}
	l.srv.Log.Log(&maillog.Record{Type: maillog.Rejection, At: now, Created: now,
		Peer: netip.AddrPortFrom(ip, 0), Tenant: l.Tenant, Code: f.Code, Enhanced: f.Enhanced,
		Text: text, Command: smtp.Unknown.String()})
}
