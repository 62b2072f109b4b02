package smtpclient

import (
	"encoding/base64"

	"github.com/postroad/postroad/internal/smtp"
)

// auth logs in at a smart host (RFC 4954): PLAIN, else LOGIN. Each failure is temporary, whatever
// the peer calls it: the operator's password is wrong, not the recipients' addresses.
func (c *Conn) auth() *Error {
	if c.tls == "" && !c.o.AuthInClear {
		return &Error{Status: ours(StepAuth, 454, "4.7.0",
			"The route has a password, which is sent under TLS only")}
	}
	var rep smtp.Reply
	var err *Error
	switch {
	case c.offers.AuthPlain:
		rep, err = c.plain()
		// the mechanism is not known after all (RFC 4954 4)
		if err == nil && rep.Code == smtp.ParameterNotImplemented && c.offers.AuthLogin {
			rep, err = c.login()
		}
	case c.offers.AuthLogin:
		rep, err = c.login()
	default:
		return &Error{Status: ours(StepAuth, 454, "4.7.0",
			"The remote offers neither AUTH PLAIN nor AUTH LOGIN")}
	}
	switch {
	case err != nil:
		return err
	case rep.Class() == 2:
		return nil
	case rep.Class() == 3:
		return c.unexpected(StepAuth, rep)
	}
	s := theirs(StepAuth, rep)
	if s.Code/100 == 5 {
		s.taken(smtp.TempAuthFailure, "4.7.8")
	}
	return &Error{Status: s}
}

func (c *Conn) plain() (smtp.Reply, *Error) {
	token := base64.StdEncoding.EncodeToString([]byte("\x00" + c.o.Username + "\x00" +
		c.o.Password))
	// A long initial response would break the limit of a command line; it may follow the challenge
	// (RFC 4954 4).
	if len(token) < 480 {
		return c.command(StepAuth, c.t.Auth, "AUTH PLAIN "+token)
	}
	rep, err := c.command(StepAuth, c.t.Auth, "AUTH PLAIN")
	if err != nil || rep.Code != smtp.AuthContinue {
		return rep, err
	}
	return c.command(StepAuth, c.t.Auth, token)
}

func (c *Conn) login() (rep smtp.Reply, err *Error) {
	rep, err = c.command(StepAuth, c.t.Auth, "AUTH LOGIN")
	for _, word := range []string{c.o.Username, c.o.Password} {
		if err != nil || rep.Code != smtp.AuthContinue {
			return rep, err
		}
		rep, err = c.command(StepAuth, c.t.Auth, base64.StdEncoding.EncodeToString([]byte(word)))
	}
	return rep, err
}
