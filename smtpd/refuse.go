package smtpd

import (
	"errors"
	"time"

	"github.com/postroad/postroad/internal/smtp"
)

// refuse answers with a failure, and sees to it that a client that earns many of them gets them
// slowly and then no more.
func (s *Session) refuse(o *Output, verb smtp.Verb, f *smtp.Failure) {
	s.record(verb, f)
	if s.state == stateReady { // the log had to know whose transaction it was that is over
		s.endTransaction()
	}
	if !f.Temporary() {
		s.errors++
	}
	switch limits := &s.set.Limits; {
	case f.Close && f.Delay == 0:
		s.farewell(o, f)
	case s.errors >= limits.HardErrors && f.Delay == 0:
		s.farewell(o, errTooManyErrors)
	case f.Delay > 0:
		s.slow(f, f.Delay)
	case s.errors > limits.SoftErrors && !f.Temporary():
		s.slow(f, limits.ErrorDelay)
	default:
		o.Reply = smtp.AppendFailure(o.Reply, f)
	}
}

// refuseEach answers the end of a message with n times the same failure.
func (s *Session) refuseEach(o *Output, verb smtp.Verb, f *smtp.Failure, n int) {
	for range n - 1 {
		o.Reply = smtp.AppendFailure(o.Reply, f)
	}
	s.refuse(o, verb, f)
}

// refuseLogin answers a failed log-in. Guessing is slow from the first one.
func (s *Session) refuseLogin(o *Output, f *smtp.Failure) {
	if errors.Is(f, smtp.ErrLogged) {
		s.l.srv.stats.rejected(f)
	} else {
		s.record(smtp.Auth, f)
	}
	s.l.srv.stats.authFailed.Add(1)
	switch {
	case f.Temporary() && f.Close:
		s.farewell(o, f)
		return
	case f.Temporary(): // we could not check
		o.Reply = smtp.AppendFailure(o.Reply, f)
		return
	}
	s.errors++
	s.authFailures++
	if s.authFailures >= s.set.Limits.AuthFailures || f.Close {
		s.farewell(o, errTooManyAuth)
		return
	}
	s.slow(f, s.set.Limits.ErrorDelay)
}

// farewell sends the last reply of a session.
func (s *Session) farewell(o *Output, f *smtp.Failure) {
	o.Reply = smtp.AppendFailure(o.Reply, f)
	s.close(o)
}

// slow holds the reply back for a while.
func (s *Session) slow(f *smtp.Failure, d time.Duration) {
	s.held, s.pause, s.after, s.since = f, d, s.state, s.now
	s.move(stateSlowed)
}

// unslow sends the reply that was held back.
func (s *Session) unslow(o *Output) {
	f := s.held
	s.held, s.since = nil, s.now
	s.move(s.after)
	switch {
	case f.Close:
		s.farewell(o, f)
	case f.Delay > 0 && s.errors >= s.set.Limits.HardErrors:
		s.farewell(o, errTooManyErrors)
	default:
		o.Reply = smtp.AppendFailure(o.Reply, f)
	}
}
