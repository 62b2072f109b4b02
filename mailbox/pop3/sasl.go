package pop3

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/smtp"
)

const (
	mechanisms = "PLAIN SCRAM-SHA-256"
	// mechanismUser is what the log calls USER and PASS, as CAPA does (RFC 2449 6.3).
	mechanismUser = "USER"
)

// saslExchange is one AUTH exchange (RFC 5034), or one of USER and PASS. Each AUTH command has a
// new one, so that nothing of a failed or cancelled exchange is left for the next (CVE-2011-1720).
type saslExchange struct {
	mechanism, user string                                   // as the log has them
	next            func(*Session, []byte, *Output) *failure // what takes the client's next message
	scram           ScramExchange
	done            string // SCRAM: who it will be once the client has seen our proof
}

// auth begins an exchange. Without an argument it lists the mechanisms, as servers did before CAPA.
func (s *Session) auth(args []byte, o *Output) *failure {
	if len(args) == 0 {
		o.say("+OK\r\n" + strings.ReplaceAll(mechanisms, " ", "\r\n") + "\r\n.\r\n")
		return nil
	}
	mechanism, initial, f := smtp.ParseAuth(args)
	if f != nil {
		return errAuthArgs
	}
	x := &saslExchange{mechanism: mechanism}
	switch mechanism {
	case "PLAIN":
		x.next = (*Session).saslPlain
	case "SCRAM-SHA-256":
		x.next = (*Session).saslScram
		x.scram = s.l.authenticator().ScramSHA256(s.addr)
	default:
		return errAuthMechanism
	}
	s.sasl = x
	s.move(stateSASL)
	if initial == nil {
		o.say("+ \r\n")
	} else {
		s.saslMessage(initial, o)
	}
	return nil
}

// saslLine takes the client's answer to a challenge.
func (s *Session) saslLine(line []byte, o *Output) {
	if string(line) == "*" {
		s.failSASL(o, errAuthCancelled)
		return
	}
	s.saslMessage(line, o)
}

func (s *Session) saslMessage(encoded []byte, o *Output) {
	message, ok := smtp.DecodeSASL(encoded)
	if !ok {
		s.failSASL(o, errAuthBase64)
		return
	}
	if f := s.sasl.next(s, message, o); f != nil {
		s.failSASL(o, f)
	}
}

// saslPlain takes authzid NUL authcid NUL password (RFC 4616).
func (s *Session) saslPlain(message []byte, o *Output) *failure {
	authzid, user, password, ok := smtp.ParsePlain(message)
	if !ok {
		return errAuthPlain
	}
	s.authenticate(Login{Authzid: authzid, User: user, Password: password}, o)
	return nil
}

func (s *Session) authenticate(login Login, o *Output) {
	s.sasl.user = login.User
	s.move(stateAuthenticating)
	o.Action, o.Login = Authenticate, login
}

// saslScram makes a step of SCRAM (RFC 5802). POP3 has no room for data with its +OK, so that the
// server's proof is one more challenge, to which the client's answer is empty (RFC 5034 4).
func (s *Session) saslScram(message []byte, o *Output) *failure {
	x := s.sasl
	if x.done != "" {
		if len(message) > 0 {
			return errAuthBase64
		}
		s.sasl = nil
		s.open(x.done, o)
		return nil
	}
	if x.user == "" {
		x.user = smtp.ScramUser(message)
	}
	answer, user, done, f := x.scram.Step(message)
	if f != nil {
		s.record("AUTH", f)
		return loginFailure(f)
	}
	if done {
		x.done = user
	}
	o.say("+ ")
	o.Reply = base64.StdEncoding.AppendEncode(o.Reply, answer)
	o.say("\r\n")
	return nil
}

// Authenticated is the answer to the action Authenticate.
func (s *Session) Authenticated(now time.Time, user string, f *smtp.Failure, o *Output) {
	s.now, s.since = now, now
	if s.state != stateAuthenticating {
		return
	}
	if f != nil {
		command := "AUTH"
		if s.sasl.mechanism == mechanismUser {
			command = "PASS"
		}
		s.record(command, f)
		s.failSASL(o, loginFailure(f))
	} else {
		s.sasl = nil
		s.open(user, o)
	}
	s.settle(o)
}

func (s *Session) failSASL(o *Output, f *failure) {
	s.sasl = nil
	s.move(stateAuthorization)
	s.refuseLogin(o, f)
}
