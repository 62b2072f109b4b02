package smtpd

import (
	"github.com/postroad/postroad/internal/smtp"
)

// command is one row of the table: where a command may come, what is asked before it, and what it
// does. check and proceed return a failure to answer; proceed sends the other replies itself.
type command struct {
	states  states // where it may come
	flags   flags
	line    int // octets of the whole line with CRLF; 0: 512 (RFC 5321 4.5.3.1.4)
	check   func(*Session) *smtp.Failure
	proceed func(*Session, []byte, *Output) *smtp.Failure
}

type flags uint8

const (
	early  flags = 1 << iota // may come before TLS and AUTH where these are required
	bare                     // takes no argument
	last                     // the client must wait for its reply (RFC 2920 3.1)
	junk                     // moves no mail
	secret                   // nothing may follow it in clear (CVE-2011-0411)
)

// Lines are longer than 512 by what the extensions allow: SIZE 26, BODY 17, SMTPUTF8 10, AUTH 500,
// RET 9, ENVID 107 for MAIL, NOTIFY 28, ORCPT 506 for RCPT, and our wider local parts.
const (
	mailLine = 512 + 26 + 17 + 10 + 506 + 9 + 107 + 256
	rcptLine = 512 + 28 + 506 + 256
)

var commands = [...]command{
	smtp.Helo: {states: greetable, flags: early | last | junk, check: (*Session).speaksSMTP,
		proceed: (*Session).helo},
	smtp.Ehlo: {states: greetable, flags: early | last | junk, check: (*Session).speaksSMTP,
		proceed: (*Session).ehlo},
	smtp.Lhlo: {states: greetable, flags: early | last | junk, check: (*Session).speaksLMTP,
		proceed: (*Session).ehlo},
	smtp.StartTLS: {states: in(stateReady, stateMail, stateRcpt), flags: early | bare | secret,
		check: (*Session).mayStartTLS, proceed: (*Session).startTLS},
	smtp.Auth: {states: in(stateReady), flags: early, line: maxLine, check: (*Session).mayAuth,
		proceed: (*Session).auth},
	smtp.Mail: {states: in(stateReady), line: mailLine, check: (*Session).mayMail,
		proceed: (*Session).mail},
	smtp.Rcpt: {states: in(stateMail, stateRcpt), line: rcptLine, proceed: (*Session).rcpt},
	smtp.Data: {states: in(stateRcpt), flags: bare | last, check: (*Session).mayData,
		proceed: (*Session).data},
	smtp.Bdat: {states: in(stateRcpt, stateChunks), proceed: (*Session).bdat},
	smtp.Rset: {states: commandStates, flags: early | bare | junk, proceed: (*Session).rset},
	smtp.Noop: {states: commandStates, flags: early | junk, proceed: (*Session).noop},
	smtp.Vrfy: {states: commandStates, flags: junk, proceed: (*Session).vrfy},
	smtp.Help: {states: commandStates, flags: early | junk, proceed: (*Session).help},
	smtp.Quit: {states: commandStates, flags: early, proceed: (*Session).quit},
	smtp.Expn: {states: commandStates, flags: junk, proceed: (*Session).notOurs},

	smtp.Unknown: {states: commandStates, flags: early,
		proceed: func(*Session, []byte, *Output) *smtp.Failure { return errUnknown }},
	smtp.Malformed: {states: commandStates, flags: early, line: maxLine,
		proceed: func(*Session, []byte, *Output) *smtp.Failure { return errMalformed }},
	smtp.Foreign: {states: commandStates, flags: early, line: maxLine,
		proceed: func(*Session, []byte, *Output) *smtp.Failure { return errForeign }},
}

var greetable = in(stateGreeted, stateReady, stateMail, stateRcpt)

// command takes one command line, given without its CRLF. more says that the client has sent octets
// after it already.
func (s *Session) command(line []byte, more bool, o *Output) {
	verb, args := smtp.ParseCommand(line)
	c := &commands[verb]
	f := s.permit(verb, c, len(line)+2, args, more)
	if f == nil {
		f = c.proceed(s, args, o)
	} else if verb == smtp.Bdat {
		f = s.swallow(args, f, o)
	}
	if f != nil {
		s.refuse(o, verb, f)
	}
}

// permit checks all that the command's row says.
func (s *Session) permit(
	verb smtp.Verb, c *command, length int, args []byte, more bool,
) *smtp.Failure {
	switch {
	case length > max(c.line, 512):
		return errLineTooLong
	case c.flags&junk != 0 && s.tooMuchJunk():
		return errJunk
	case !c.states.has(s.state):
		return s.outOfOrder(verb)
	case c.flags&early == 0 && s.client.TLS == nil && s.l.needsTLS():
		return errNeedTLS
	case c.flags&early == 0 && s.client.User == nil && s.l.Kind.Submits():
		return errNeedAuth
	case c.flags&bare != 0 && len(args) > 0:
		return errNoArgs
	}
	if c.check != nil {
		if f := c.check(s); f != nil {
			return f
		}
	}
	if more && (c.flags&secret != 0 || c.flags&last != 0 && !s.l.srv.EarlyPipelining) {
		return errUnsynced
	}
	return nil
}

func (s *Session) tooMuchJunk() bool {
	s.junk++
	return s.junk > s.set.Limits.Junk
}

// outOfOrder says which command should have come (RFC 5321 4.1.4).
func (s *Session) outOfOrder(verb smtp.Verb) *smtp.Failure {
	switch {
	case s.state == stateChunks:
		return errInChunks
	case s.state == stateGreeted && s.l.Kind == LMTP:
		return errNeedLhlo
	case s.state == stateGreeted && (verb == smtp.Auth || verb == smtp.StartTLS):
		return errNeedEhlo
	case s.state == stateGreeted:
		return errNeedHello
	case s.state == stateReady:
		return errNeedMail
	case s.state == stateMail && (verb == smtp.Data || verb == smtp.Bdat):
		if s.l.Kind == LMTP {
			return errNobody
		}
		return errNoRecipients
	}
	return errNested
}

// speaksSMTP and speaksLMTP keep the two protocols apart: a client that takes one for the other
// would miscount replies (RFC 2033 4.1).
func (s *Session) speaksSMTP() *smtp.Failure {
	if s.l.Kind == LMTP {
		return errLMTP
	}
	return nil
}

func (s *Session) speaksLMTP() *smtp.Failure {
	if s.l.Kind != LMTP {
		return errNotOurs
	}
	return nil
}

func (s *Session) helo(args []byte, o *Output) *smtp.Failure {
	if f := s.hello(args, false); f != nil {
		return f
	}
	o.say(s.l.srv.helloReply)
	return nil
}

func (s *Session) ehlo(args []byte, o *Output) *smtp.Failure {
	if f := s.hello(args, true); f != nil {
		return f
	}
	o.say(s.set.ehloReply)
	if s.client.TLS == nil && s.l.tls() != nil {
		o.say("250-STARTTLS\r\n")
	}
	if s.offersAuth() {
		o.say("250-AUTH PLAIN LOGIN SCRAM-SHA-256\r\n")
	}
	o.say(s.l.srv.ehloEnd)
	return nil
}

// hello begins afresh, as RSET does (RFC 5321 4.1.4).
func (s *Session) hello(args []byte, esmtp bool) *smtp.Failure {
	name, f := smtp.ParseHelo(args)
	if f != nil {
		return f
	}
	if name == "" {
		name = string(appendAddressLiteral(nil, s.client.Addr.Addr()))
	}
	s.endTransaction()
	s.renew()
	s.client.Helo, s.client.ESMTP = name, esmtp
	s.move(stateReady)
	return nil
}

func (s *Session) mayStartTLS() *smtp.Failure {
	switch {
	case s.client.TLS != nil:
		return errTLSActive
	case !s.client.ESMTP:
		return errNeedEhlo
	case s.l.tls() == nil:
		return errNoTLS
	}
	return nil
}

func (s *Session) startTLS(_ []byte, o *Output) *smtp.Failure {
	if o.TLS = s.l.tls(); o.TLS == nil {
		return errNoTLS
	}
	s.endTransaction()
	s.move(stateHandshaking)
	o.say(replyStartTLS)
	o.Action = StartTLS
	return nil
}

func (s *Session) rset(_ []byte, o *Output) *smtp.Failure {
	s.endTransaction()
	if s.state != stateGreeted {
		s.move(stateReady)
	}
	o.say(replyOk)
	return nil
}

func (s *Session) noop(_ []byte, o *Output) *smtp.Failure {
	o.say(replyOk)
	return nil
}

func (s *Session) vrfy(args []byte, o *Output) *smtp.Failure {
	if len(args) == 0 {
		return errVrfyArgs
	}
	o.say(replyVrfy)
	return nil
}

func (s *Session) help(_ []byte, o *Output) *smtp.Failure {
	o.say(replyHelp)
	return nil
}

func (s *Session) quit(_ []byte, o *Output) *smtp.Failure {
	o.say(replyQuit)
	s.close(o)
	return nil
}

func (s *Session) notOurs([]byte, *Output) *smtp.Failure { return errNotOurs }
