package smtpd

import (
	"time"

	"github.com/postroad/postroad/internal/smtp"
)

// Wait returns how long the shell may wait before it calls Timeout, if nothing happens until then;
// 0 is for ever. It is to be asked after each call.
func (s *Session) Wait(now time.Time) time.Duration {
	d, limited := s.allowed()
	if !limited {
		return 0
	}
	return max(d-now.Sub(s.since), time.Millisecond)
}

// allowed returns how long the present state may last from s.since on. A parked session has no
// limit here, because whoever holds it answers in bounded time.
func (s *Session) allowed() (d time.Duration, limited bool) {
	limits := &s.set.Limits
	switch {
	case s.state == stateSlowed:
		return s.pause, true
	case parkedStates.has(s.state) || s.state == stateClosed:
		return 0, false
	case s.state == stateBanner:
		return s.greetingDelay(), true
	case s.state == stateText || s.state == stateChunk:
		return min(limits.DataTimeout, s.dataLeft()), true
	}
	// From the last whole command, not the last octet: a client that sends one octet at a time gets
	// no more time.
	return limits.CommandTimeout, true
}

// checkTime ends the session of a client whose time has passed although it keeps sending: a timer
// that is set anew with every octet would never fire.
func (s *Session) checkTime(o *Output) {
	if d, limited := s.allowed(); limited && o.Action == None && s.now.Sub(s.since) >= d {
		s.Timeout(s.now, o)
	}
}

// pace is how mail data comes in: over all chunks of a message, or over one that is swallowed.
type pace struct {
	began  time.Time
	octets int64
}

// dataLeft returns how long after s.since mail data is still fast enough: each octet earns time.
func (s *Session) dataLeft() time.Duration {
	limits := &s.set.Limits
	earned := time.Duration(s.pace.octets) * (time.Second / time.Duration(limits.MinRate))
	return limits.DataTimeout + earned - s.since.Sub(s.pace.began)
}

func (s *Session) greetingDelay() time.Duration {
	srv := s.l.srv
	if s.l.Kind != Relay || srv.GreetingDelay == 0 || srv.Trusted(s.client.Addr.Addr()) {
		return 0
	}
	return srv.GreetingDelay
}

// Timeout says that the time of Wait has passed.
func (s *Session) Timeout(now time.Time, o *Output) {
	s.now = now
	switch s.state {
	case stateBanner:
		s.since = now
		s.greet(o)
	case stateSlowed:
		s.unslow(o)
	case stateText, stateChunk:
		s.l.srv.stats.timeouts.Add(1)
		s.refuse(o, smtp.Data, errSlow)
	case stateProxy, stateGreeted, stateReady, stateMail, stateRcpt, stateChunks, stateSASL:
		s.l.srv.stats.timeouts.Add(1)
		s.refuse(o, smtp.Unknown, errIdle)
	}
	s.settle(o)
}
