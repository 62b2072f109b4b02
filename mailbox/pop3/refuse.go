package pop3

import (
	"errors"

	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
)

// failure is an -ERR reply. code is its response code (RFC 2449 8), "" for none; the text says what
// the client should do.
type failure struct {
	code, text string
	close      bool // the connection ends with it
}

// Response codes.
const (
	codeInUse = "IN-USE"   // RFC 2449 8.1.2
	codeTemp  = "SYS/TEMP" // RFC 3206 4
	codePerm  = "SYS/PERM"
	codeAuth  = "AUTH"
)

var (
	errLineTooLong = &failure{text: "Line too long"}
	errLineEndless = &failure{text: "Line too long; goodbye", close: true}
	errMalformed   = &failure{text: "Control octets in a command"}
	errUnknown     = &failure{text: "Command not recognized; CAPA lists what is offered"}
	errForeign     = &failure{text: "This is a POP3 server", close: true}
	errNotNow      = &failure{text: "Not before you have logged in"}
	errLoggedIn    = &failure{text: "Not after you have logged in"}
	errNeedUser    = &failure{text: "Say USER first"}
	errNoArgs      = &failure{text: "This command takes no argument"}
	errNeedName    = &failure{text: "Say USER name"}
	errNumber      = &failure{text: "Say the number of a message"}
	errTopArgs     = &failure{text: "Say TOP message lines"}
	errNoMessage   = &failure{text: "There is no such message"}
	errGone        = &failure{text: "The message was removed meanwhile"}
	errUnreadable  = &failure{
		code: codeTemp,
		text: "The message cannot be read now; try again later",
	}
	errDeleted = &failure{text: "The message is deleted; RSET brings it back"}
	errEarly   = &failure{
		text:  "You sent more before you saw the reply; goodbye",
		close: true,
	}
	errProxyHeader   = &failure{text: "A PROXY header must come first", close: true}
	errTooManyErrors = &failure{text: "Too many errors; goodbye", close: true}
	errTooManyAuth   = &failure{
		code:  codeAuth,
		text:  "Too many failed log-ins; goodbye",
		close: true,
	}
	errJunk     = &failure{text: "Too many commands without a log-in; goodbye", close: true}
	errIdle     = &failure{text: "Timeout waiting for you; connect again", close: true}
	errShutdown = &failure{
		code:  codeTemp,
		text:  "Server is shutting down; connect again",
		close: true,
	}
	errServerFull = &failure{
		code:  codeTemp,
		text:  "Too many connections; try again later",
		close: true,
	}
	errNetworkFull = &failure{
		code:  codeTemp,
		text:  "Too many connections from your network; try again later",
		close: true,
	}
	errGaveWay = &failure{
		code:  codeTemp,
		text:  "Too many connections, and this one was silent; connect again",
		close: true,
	}
	errLost = &failure{
		code:  codeTemp,
		text:  "The mailbox has moved to another server; log in again",
		close: true,
	}
	errNeedTLS       = &failure{text: "Encryption required; say STLS first"} // RFC 2595 2.3
	errNoTLS         = &failure{text: "TLS is not available"}
	errTLSActive     = &failure{text: "TLS is active already"}
	errAuthArgs      = &failure{text: "Say AUTH mechanism, or AUTH mechanism initial-response"}
	errAuthMechanism = &failure{text: "Mechanism not offered; CAPA says which are"}
	errAuthCancelled = &failure{text: "Authentication cancelled"}
	errAuthBase64    = &failure{text: "That is not base64"}
	errAuthPlain     = &failure{text: "PLAIN wants authzid NUL authcid NUL password (RFC 4616)"}
	errInUse         = &failure{
		code: codeInUse,
		text: "Another session has this mailbox; try again later",
	}
	errNoMailbox   = &failure{code: codePerm, text: "This user has no mailbox here"}
	errUnavailable = &failure{
		code: codeTemp,
		text: "The mailbox cannot be reached now; try again later",
	}
	errNoMemory = &failure{
		code: codeTemp,
		text: "Too many mailboxes are open; try again later",
	}
	errNotRemoved = &failure{
		code:  codeTemp,
		text:  "Some deleted messages could not be removed",
		close: true,
	} // RFC 1939 6
)

func (f *failure) append(b []byte) []byte {
	b = append(b, "-ERR "...)
	if f.code != "" {
		b = append(append(append(b, '['), f.code...), "] "...)
	}
	return append(append(b, f.text...), '\r', '\n')
}

// loginFailure is an authenticator's failure as POP3 says it.
func loginFailure(f *smtp.Failure) *failure {
	if f.Temporary() {
		return &failure{code: codeTemp, text: f.Text, close: f.Close}
	}
	return &failure{code: codeAuth, text: f.Text}
}

// openFailure says why a maildrop was not locked.
func openFailure(err error) *failure {
	switch {
	case errors.Is(err, mailbox.ErrLocked):
		return errInUse
	case errors.Is(err, mailbox.ErrNoMailbox):
		return errNoMailbox
	}
	return errUnavailable
}

// refuse answers with a failure, and sees to it that a client that earns many of them gets them
// slowly and then no more.
func (s *Session) refuse(o *Output, f *failure) {
	s.errors++
	switch {
	case f.close:
		s.farewell(o, f)
	case s.errors >= s.limits.HardErrors:
		s.farewell(o, errTooManyErrors)
	case s.errors > s.limits.SoftErrors:
		s.slow(f)
	default:
		s.fail(o, f)
	}
}

// refuseLogin answers a failed log-in. Guessing is slow from the first one: input waits meanwhile,
// so that guesses that come all at once are no faster.
func (s *Session) refuseLogin(o *Output, f *failure) {
	s.l.srv.stats.authFailed.Add(1)
	switch {
	case f.code == codeTemp && f.close:
		s.farewell(o, f)
		return
	case f.code == codeTemp: // we could not check
		s.fail(o, f)
		return
	}
	s.errors++
	if s.authFailures++; s.authFailures >= s.limits.AuthFailures {
		s.farewell(o, errTooManyAuth)
		return
	}
	s.slow(f)
}

// record tells the log of a log-in that an authenticator refused, in the words that SMTP's have.
func (s *Session) record(command string, f *smtp.Failure) {
	log := s.l.srv.Log
	if log == maillog.Discard || errors.Is(f, smtp.ErrLogged) {
		return
	}
	r := &maillog.Record{Type: maillog.Rejection, At: s.now, Created: s.now, Protocol: "POP3",
		Peer: s.addr, Code: f.Code, Enhanced: f.Enhanced, Text: f.LogText(), Command: command,
		Mechanism: s.sasl.mechanism, User: s.sasl.user}
	if s.secure {
		r.Protocol = "POP3S"
	}
	log.Log(r)
}

// fail answers with a failure that is not the client's.
func (s *Session) fail(o *Output, f *failure) {
	s.l.srv.stats.refused.Add(1)
	o.Reply = f.append(o.Reply)
}

// farewell sends the last reply of a session.
func (s *Session) farewell(o *Output, f *failure) {
	s.fail(o, f)
	o.Action = Close
	s.End(f.text)
}

// slow holds the reply back for Limits.ErrorDelay.
func (s *Session) slow(f *failure) {
	s.held, s.after, s.since = f, s.state, s.now
	s.move(stateSlowed)
}

// unslow sends the reply that was held back.
func (s *Session) unslow(o *Output) {
	s.fail(o, s.held)
	s.held, s.since = nil, s.now
	s.move(s.after)
}
