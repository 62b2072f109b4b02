package pop3

import "bytes"

// command is one row of the table: where a command may come, and what it does. proceed returns a
// failure to answer, and sends the other replies itself.
type command struct {
	states states
	flags  flags
	// octets of the whole line with CRLF; 0: 512, which is more than RFC 2449 4 asks for
	line    int
	proceed func(*Session, []byte, *Output) *failure
}

type flags uint8

const (
	bare   flags = 1 << iota // takes no argument
	secret                   // only under TLS, where the listener does not say otherwise
	last                     // nothing may follow it in clear (CVE-2011-0411)
	raw                      // spaces around the argument are part of it
)

// commands is filled by init, because what is in it refers to it.
var commands map[string]*command

func init() {
	commands = map[string]*command{
		"CAPA": {states: commandStates, flags: bare, proceed: (*Session).capa},
		"STLS": {states: beforeLogin, flags: bare | last, proceed: (*Session).stls},
		"UTF8": {states: beforeLogin, flags: bare, proceed: (*Session).noop},
		"USER": {states: beforeLogin, flags: secret, proceed: (*Session).userName},
		"PASS": {states: beforeLogin, flags: secret | raw, proceed: (*Session).pass},
		"AUTH": {states: beforeLogin, flags: secret, line: maxLine, proceed: (*Session).auth},
		"QUIT": {states: commandStates, flags: bare, proceed: (*Session).quit},

		"NOOP": {states: in(stateTransaction), flags: bare, proceed: (*Session).noop},
		"STAT": {states: in(stateTransaction), flags: bare, proceed: (*Session).stat},
		"LIST": {states: in(stateTransaction), proceed: (*Session).listSizes},
		"UIDL": {states: in(stateTransaction), proceed: (*Session).listUIDs},
		"RETR": {states: in(stateTransaction), proceed: (*Session).retr},
		"TOP":  {states: in(stateTransaction), proceed: (*Session).top},
		"DELE": {states: in(stateTransaction), proceed: (*Session).dele},
		"RSET": {states: in(stateTransaction), flags: bare, proceed: (*Session).rset},
	}
	// A browser that was talked into speaking to this port, and those who have the wrong port.
	for _, verb := range []string{
		"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "HELO", "EHLO",
	} {
		commands[verb] = &command{
			states:  commandStates,
			line:    maxLine,
			proceed: func(*Session, []byte, *Output) *failure { return errForeign },
		}
	}
}

var unknown = &command{
	states:  commandStates,
	line:    maxLine,
	proceed: func(*Session, []byte, *Output) *failure { return errUnknown },
}

// command takes a command line, without its end. more: something follows it already.
func (s *Session) command(line []byte, more bool, o *Output) {
	verb, args, _ := bytes.Cut(line, []byte{' '})
	c, isPass := lookUp(verb)
	if s.state == statePassword && !isPass {
		s.said = ""
		s.move(stateAuthorization)
	}
	if c.flags&raw == 0 {
		args = bytes.Trim(args, " ")
	}
	f := s.permit(c, line, args, more)
	if f == nil {
		f = c.proceed(s, args, o)
	}
	switch {
	case f != nil:
		s.refuse(o, f)
	case s.Locked():
		s.errors = 0
	}
}

// lookUp returns the row of a verb in any case of letters.
func lookUp(verb []byte) (c *command, isPass bool) {
	var upper [8]byte
	n := min(len(verb), len(upper))
	for i, b := range verb[:n] {
		if 'a' <= b && b <= 'z' {
			b -= 'a' - 'A'
		}
		upper[i] = b
	}
	c = commands[string(upper[:n])]
	if c == nil || n < len(verb) {
		c = unknown
	}
	return c, string(upper[:n]) == "PASS"
}

// permit checks all that the command's row says.
func (s *Session) permit(c *command, line, args []byte, more bool) *failure {
	if s.junk++; s.junk > s.limits.Junk && beforeLogin.has(s.state) {
		return errJunk
	}
	switch {
	case len(line)+2 > max(c.line, 512):
		return errLineTooLong
	case !clean(line):
		return errMalformed
	case !c.states.has(s.state) && s.state == stateTransaction:
		return errLoggedIn
	case !c.states.has(s.state):
		return errNotNow
	case c.flags&bare != 0 && len(args) > 0:
		return errNoArgs
	case c.flags&secret != 0 && !s.mayLogIn():
		return errNeedTLS
	case c.flags&last != 0 && more && !s.secure && s.l.tls() != nil:
		return errEarly
	}
	return nil
}

// clean reports whether a line has no control octets. Others are UTF-8, or some client's own (RFC
// 6856 2.2).
func clean(line []byte) bool {
	for _, b := range line {
		if b < ' ' || b == 0x7f {
			return false
		}
	}
	return true
}

// mayLogIn reports whether a password may be said on this connection.
func (s *Session) mayLogIn() bool { return s.secure || s.l.AllowPlainAuth }

// capa lists what the session offers in its state (RFC 2449 5).
func (s *Session) capa(_ []byte, o *Output) *failure {
	o.say(
		"+OK\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nUTF8 USER\r\n" +
			"IMPLEMENTATION Postroad\r\n",
	)
	switch {
	case s.state == stateTransaction:
		o.Reply = s.maildrop.appendExpire(o.Reply)
	case s.mayLogIn():
		o.say("USER\r\nSASL " + mechanisms + "\r\n")
	}
	if s.state != stateTransaction && !s.secure && s.l.tls() != nil {
		o.say("STLS\r\n")
	}
	o.say(".\r\n")
	return nil
}

func (s *Session) stls(_ []byte, o *Output) *failure {
	if s.secure {
		return errTLSActive
	}
	if o.TLS = s.l.tls(); o.TLS == nil {
		return errNoTLS
	}
	s.move(stateHandshaking)
	o.say("+OK Begin TLS\r\n")
	o.Action = StartTLS
	return nil
}

func (s *Session) noop(_ []byte, o *Output) *failure {
	o.say("+OK\r\n")
	return nil
}

// userName takes any name: that there is no such user shows with the password only.
func (s *Session) userName(args []byte, o *Output) *failure {
	if len(args) == 0 {
		return errNeedName
	}
	s.said = string(args)
	s.move(statePassword)
	o.say("+OK\r\n")
	return nil
}

// pass takes all behind the space as the password (RFC 1939 7).
func (s *Session) pass(args []byte, o *Output) *failure {
	if s.state != statePassword {
		return errNeedUser
	}
	s.sasl = &saslExchange{mechanism: mechanismUser}
	s.authenticate(Login{User: s.said, Password: string(args)}, o)
	s.said = ""
	return nil
}

// quit ends the session, by way of the UPDATE state if something is to be removed (RFC 1939 6).
func (s *Session) quit(_ []byte, o *Output) *failure {
	if s.state == stateTransaction {
		if o.Removals = s.maildrop.removals(); o.Removals != nil {
			s.move(stateUpdating)
			o.Action = Update
			return nil
		}
	}
	o.say("+OK Bye\r\n")
	s.close(o)
	return nil
}

// Updated is the answer to the action Update.
func (s *Session) Updated(err error, o *Output) {
	if s.state != stateUpdating {
		return
	}
	if err != nil {
		s.farewell(o, errNotRemoved)
		return
	}
	s.removed = len(s.maildrop.messages) - s.maildrop.count
	s.l.srv.stats.removed.Add(uint64(s.removed))
	o.say("+OK Bye\r\n")
	s.close(o)
}

// open has the maildrop of the user locked who has just logged in.
func (s *Session) open(user string, o *Output) {
	s.user = user
	s.l.srv.stats.authSucceeded.Add(1)
	s.move(stateOpening)
	o.Action, o.User = Open, user
}
