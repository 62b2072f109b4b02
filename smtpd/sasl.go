package smtpd

import (
	"encoding/base64"
	"time"

	"github.com/postroad/postroad/internal/smtp"
)

// saslExchange is one AUTH exchange (RFC 4954). Each AUTH command has a new one, so that nothing of
// a failed or cancelled exchange is left for the next (CVE-2011-1720).
type saslExchange struct {
	mechanism string
	next      func(*Session, []byte, *Output) *smtp.Failure // what takes the client's next message
	user      string                                        // whose password it is
	scram     ScramExchange
	done      *User // SCRAM: who it will be once the client has seen our proof
}

func (s *Session) offersAuth() bool {
	return s.l.srv.Authenticator != nil && s.l.Kind != LMTP &&
		(s.client.TLS != nil || s.l.AllowPlainAuth)
}

func (s *Session) mayAuth() *smtp.Failure {
	switch {
	case s.l.Kind == LMTP, !s.offersAuth() &&
		(s.l.srv.Authenticator == nil || s.l.tls() == nil):
		return errNotOurs
	case !s.client.ESMTP:
		return errNeedEhlo
	case !s.offersAuth():
		return errAuthClear
	case s.client.User != nil:
		return errAuthTwice
	}
	return nil
}

func (s *Session) auth(args []byte, o *Output) *smtp.Failure {
	mechanism, initial, f := smtp.ParseAuth(args)
	if f != nil {
		return f
	}
	x := &saslExchange{mechanism: mechanism}
	challenge := replyNoChallenge
	switch mechanism {
	case "PLAIN":
		x.next = (*Session).saslPlain
	case "LOGIN":
		x.next = (*Session).saslLoginUser
		challenge = replyLoginUser
	case "SCRAM-SHA-256":
		x.next = (*Session).saslScram
		x.scram = s.l.srv.Authenticator.ScramSHA256(&s.client)
	default:
		return errAuthMechanism
	}
	s.sasl = x
	s.move(stateSASL)
	if initial == nil {
		o.say(challenge)
		return nil
	}
	s.saslMessage(initial, o)
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
func (s *Session) saslPlain(message []byte, o *Output) *smtp.Failure {
	authzid, user, password, ok := smtp.ParsePlain(message)
	if !ok {
		return errAuthPlain
	}
	s.authenticate(Login{Authzid: authzid, User: user, Password: password}, o)
	return nil
}

func (s *Session) saslLoginUser(message []byte, o *Output) *smtp.Failure {
	s.sasl.user = string(message)
	s.sasl.next = (*Session).saslLoginPassword
	o.say(replyLoginPassword)
	return nil
}

func (s *Session) saslLoginPassword(message []byte, o *Output) *smtp.Failure {
	s.authenticate(Login{User: s.sasl.user, Password: string(message)}, o)
	return nil
}

func (s *Session) authenticate(login Login, o *Output) {
	s.sasl.user = login.User
	s.move(stateAuthenticating)
	o.Action, o.Login = Authenticate, login
}

// saslScram makes a step of SCRAM (RFC 5802). SMTP has no room for data with its success reply, so
// that the server's proof is one more challenge, to which the client's answer is empty (RFC 4954
// 4).
func (s *Session) saslScram(message []byte, o *Output) *smtp.Failure {
	x := s.sasl
	if x.done != nil {
		if len(message) > 0 {
			return errAuthBase64
		}
		s.authenticated(x.done, o)
		return nil
	}
	if x.user == "" {
		x.user = smtp.ScramUser(message)
	}
	answer, user, done, f := x.scram.Step(message)
	if f != nil {
		return f
	}
	if done {
		x.done = user
	}
	o.say("334 ")
	o.Reply = base64.StdEncoding.AppendEncode(o.Reply, answer)
	o.say("\r\n")
	return nil
}

// Authenticated is the answer to the action Authenticate.
func (s *Session) Authenticated(now time.Time, user *User, f *smtp.Failure, o *Output) {
	s.now, s.since = now, now
	if f != nil {
		s.failSASL(o, f)
	} else {
		s.authenticated(user, o)
	}
	s.settle(o)
}

func (s *Session) authenticated(user *User, o *Output) {
	s.endSASL()
	s.client.User = user
	if user.Tenant != "" {
		s.client.Tenant = user.Tenant
	}
	s.l.srv.stats.authSucceeded.Add(1)
	s.move(stateReady)
	o.say(replyAuthed)
}

func (s *Session) failSASL(o *Output, f *smtp.Failure) {
	s.move(stateReady)
	s.refuseLogin(o, f) // the log has to know whose exchange it was
	s.endSASL()
}

func (s *Session) endSASL() { s.sasl = nil }
