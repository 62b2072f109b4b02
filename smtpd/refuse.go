package smtpd

import (
	"errors"
	"time"

	"github.com/postroad/postroad/internal/maillog"
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
	if errors.Is(f, ErrLogged) {
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

// record tells the log and the counters of a refusal.
func (s *Session) record(verb smtp.Verb, f *smtp.Failure) {
	s.l.srv.stats.rejected(f)
	log := s.l.srv.Log
	if log == maillog.Discard {
		return
	}
	r := s.newRecord(maillog.Rejection)
	r.Code, r.Enhanced, r.Text, r.Command = f.Code, f.Enhanced, f.Text, verb.String()
	if f.Log != "" {
		r.Text += " (" + f.Log + ")"
	}
	switch {
	case verb == smtp.Rcpt && s.tx != nil:
		r.Recipient = s.tx.asked
	case verb == smtp.Mail && s.tx == nil:
		r.Sender, s.asked = s.asked, ""
	}
	log.Log(r)
}

// newRecord returns a record with what is known of the client and the transaction.
func (s *Session) newRecord(t maillog.Type) *maillog.Record {
	c := &s.client
	r := &maillog.Record{Type: t, At: s.now, Created: s.now, Relay: c.Helo, Peer: c.Addr,
		Source: c.Local.Addr(),
		TLS:    tlsName(c.TLS), Tenant: c.Tenant, Session: c.Session}
	if c.User != nil {
		r.User = c.User.Name
	}
	if s.tx != nil {
		s.tx.describe(r)
	}
	return r
}
