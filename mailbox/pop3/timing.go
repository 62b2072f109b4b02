package pop3

import (
	"errors"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// Wait returns how long the shell may wait before it calls Timeout, if nothing happens until then;
// 0 is for ever. It is to be asked after each call.
func (s *Session) Wait(now time.Time) time.Duration {
	d, limited := s.allowed()
	d -= now.Sub(s.since)
	if s.Locked() && !s.renewing {
		if renew := s.renewAt.Sub(now); !limited || renew < d {
			d, limited = renew, true
		}
	}
	if !limited {
		return 0
	}
	return max(d, time.Millisecond)
}

// allowed returns how long the present state may last from s.since on. Where a session waits for
// somebody else than the client there is no limit here, because they answer in bounded time.
func (s *Session) allowed() (d time.Duration, limited bool) {
	switch s.state {
	case stateSlowed:
		return s.limits.ErrorDelay, true
	case stateTransaction, stateListing, stateSending:
		return s.limits.IdleTimeout, true
	case stateProxy, stateAuthorization, statePassword, stateSASL:
		// From the last whole command, not the last octet: a client that sends one octet at a time
		// gets no more time.
		return s.limits.LoginTimeout, true
	}
	return 0, false
}

func (s *Session) overdue() bool {
	d, limited := s.allowed()
	return limited && s.now.Sub(s.since) >= d
}

// checkTime ends the session of a client whose time has passed although it keeps sending: a timer
// that is set anew with every octet would never fire.
func (s *Session) checkTime(o *Output) {
	if o.Action == None && s.state != stateSlowed && s.overdue() {
		s.expire(o)
	}
}

// Timeout says that the time of Wait has passed.
func (s *Session) Timeout(now time.Time, o *Output) {
	s.now = now
	if s.overdue() {
		s.expire(o)
	}
	s.settle(o)
}

func (s *Session) expire(o *Output) {
	if s.state == stateSlowed {
		s.unslow(o)
		return
	}
	s.breakOff(o, errIdle)
	s.l.srv.stats.timeouts.Add(1)
}

// renewDue reports whether the lock is to be renewed now.
func (s *Session) renewDue() bool {
	return s.Locked() && !s.renewing && !s.now.Before(s.renewAt)
}

// keptUntil notes that the lock was given, or renewed, by a call that was made at asked.
func (s *Session) keptUntil(asked time.Time) {
	s.renewed, s.renewAt = asked, asked.Add(s.limits.LockFor/3)
}

// Renewed says what became of a renewal that was asked for at asked.
func (s *Session) Renewed(now, asked time.Time, err error, o *Output) {
	s.now, s.renewing = now, false
	limit := s.limits.LockFor
	switch {
	case !s.Locked():
	case err == nil:
		s.keptUntil(asked)
	case errors.Is(err, mailbox.ErrStaleLock),
		errors.Is(err, mailbox.ErrRefused),
		now.Sub(s.renewed) >= limit:
		s.lost(o)
	default: // it may be kept yet
		s.renewAt = now.Add(limit / 12)
	}
	s.settle(o)
}

// lost ends a session that has lost its maildrop: another owner has come, and another session may
// have it by now.
func (s *Session) lost(o *Output) {
	if s.state == stateUpdating { // the update says how it ends
		return
	}
	s.breakOff(o, errLost)
	s.l.srv.stats.locksLost.Add(1)
}
