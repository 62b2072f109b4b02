package smtpd

import (
	"bytes"
	"crypto/tls"
	"time"

	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// Session is the server's side of one SMTP connection as a pure state machine: octets and answers
// go in, replies and at most one Action a call come out. It has no socket, goroutine or clock. It
// is owned by its connection's event loop.
//
// The shell (conn.go) calls Start once; then Step with what was received, Timeout when Wait has
// passed, and, while the session is parked, the one method that answers the Action: TLSDone,
// Authenticated or Committed. Input that Step did not take is to be given again.
type Session struct {
	l      *listener
	set    *settings // of the server when the session began, or at its last EHLO or MAIL
	client Client
	now    time.Time // of the present call
	since  time.Time // of the last whole command or answer: what CommandTimeout counts from

	state state
	after state // where to go when what the state is for has ended (stateSlowed, a refused chunk)

	// in stateMail, stateRcpt, stateChunks, stateText, stateChunk, stateCommitting
	tx    *transaction
	asked asked         // by a MAIL that is being refused
	chunk chunk         // in stateChunk
	pace  pace          // in stateText, stateChunks, stateChunk
	sasl  *saslExchange // in stateSASL, stateAuthenticating
	held  *smtp.Failure // in stateSlowed
	pause time.Duration // for how long

	errors, junk int // since the last message
	authFailures int
	transactions int
	stopping     bool // the server shuts down
	admitted     bool // counted in the client's network
}

// asked is what a MAIL said that opened no transaction.
type asked struct {
	sender string
	size   int64
}

// Action is what a session asks of its shell besides sending a reply.
type Action uint8

const (
	None         Action = iota
	StartTLS            // handshake with Output.TLS, then TLSDone
	AcceptTLS           // the same, but the client's first octets may have come already
	Authenticate        // check Output.Login, then Authenticated
	Submit              // Output.Envelope and Output.Content to the queue, then Committed
	Close               // after the reply
)

// Output is what one call asks for: first send Reply, then do Action.
type Output struct {
	Reply    []byte
	Action   Action
	TLS      *tls.Config
	Login    Login
	Envelope *mail.Envelope
	Content  *mail.Content
}

// Login is what AUTH PLAIN and LOGIN say.
type Login struct{ Authzid, User, Password string }

func (o *Output) say(reply string) { o.Reply = append(o.Reply, reply...) }

// maxReplies is how many octets of replies one call of Step gathers before it returns, so that the
// shell can see whether the client takes them.
const maxReplies = 8 << 10

// Start begins the session.
func (s *Session) Start(now time.Time, o *Output) {
	s.now, s.since = now, now
	s.renew()
	if !inbound.Listed(s.l.ProxyFrom, s.client.Addr.Addr()) {
		s.begin(o)
	}
	s.settle(o)
}

// renew takes the server's settings as they are now.
func (s *Session) renew() { s.set = s.l.srv.settings.Load() }

// begin begins what a client sees of a session: the handshake, or the greeting.
func (s *Session) begin(o *Output) {
	full := s.enter()
	if s.l.Kind != Submissions {
		s.move(stateBanner)
		if full != nil {
			s.refuse(o, smtp.Unknown, full)
			return
		}
		s.banner(o)
		return
	}
	if full != nil { // before the handshake there are no words
		s.record(smtp.Unknown, full)
		s.close(o)
		return
	}
	s.move(stateHandshaking)
	if o.TLS = s.l.tls(); o.TLS == nil {
		s.close(o)
		return
	}
	o.Action = AcceptTLS
}

// Step takes octets from the client and returns how many it used.
func (s *Session) Step(now time.Time, in []byte, o *Output) (n int) {
	s.now = now
	for n < len(in) && o.Action == None && len(o.Reply) < maxReplies {
		used := s.take(in[n:], o)
		if used == 0 {
			break
		}
		n += used
	}
	s.checkTime(o)
	s.settle(o)
	return n
}

// settle ends a session of a server that stops, as soon as nothing of it is in flight.
func (s *Session) settle(o *Output) {
	if s.stopping && o.Action == None && idleStates.has(s.state) {
		o.Reply = smtp.AppendFailure(o.Reply, errShutdown)
		s.close(o)
	}
}

func (s *Session) take(in []byte, o *Output) int {
	switch s.state {
	case stateText:
		return s.text(in, o)
	case stateChunk:
		return s.chunkData(in, o)
	case stateProxy:
		return s.proxy(in, o)
	case stateBanner:
		s.refuse(o, smtp.Unknown, errEarly)
		return len(in)
	case stateClosed:
		return len(in)
	}
	if parkedStates.has(s.state) {
		return 0
	}
	return s.line(in, o)
}

// maxLine bounds every line; only AUTH may be that long (RFC 4954 4.1).
const maxLine = 12288

// line takes one line: a command, or the answer to an AUTH challenge.
func (s *Session) line(in []byte, o *Output) int {
	eol := bytes.IndexByte(in[:min(len(in), maxLine)], '\n')
	if eol < 0 {
		if len(in) >= maxLine {
			s.refuse(o, smtp.Unknown, errLineEndless)
			return len(in)
		}
		return 0
	}
	n := eol + 1
	s.since = s.now
	switch {
	case eol == 0 || in[eol-1] != '\r':
		s.bareLF(in[:eol], o)
	case s.state == stateSASL:
		s.saslLine(in[:eol-1], o)
	default:
		s.command(in[:eol-1], n < len(in), o)
	}
	return n
}

// bareLF refuses a line that ends with LF alone. To take it would be lenient towards what smuggles
// messages.
func (s *Session) bareLF(line []byte, o *Output) {
	f := errBareLF
	if verb, _ := smtp.ParseCommand(line); verb == smtp.Foreign {
		f = errForeign
	}
	if s.state == stateSASL {
		s.failSASL(o, f)
		return
	}
	s.refuse(o, smtp.Unknown, f)
}

// proxy takes the PROXY header.
func (s *Session) proxy(in []byte, o *Output) int {
	h, n, err := inbound.ParseHeader(in)
	if err != nil {
		s.refuse(o, smtp.Unknown, errProxyHeader)
		return len(in)
	}
	if n == 0 {
		return 0
	}
	if h.Client.IsValid() {
		s.client.Addr, s.client.Local = h.Client, h.Local
	}
	s.since = s.now
	s.begin(o)
	return n
}

// banner sends the greeting, at once or after GreetingDelay.
func (s *Session) banner(o *Output) {
	if s.greetingDelay() == 0 {
		s.greet(o)
	}
}

func (s *Session) greet(o *Output) {
	if f := s.admit(); f != nil {
		s.refuse(o, smtp.Unknown, f)
		return
	}
	s.move(stateGreeted)
	if s.l.Kind == LMTP {
		o.say(s.l.srv.lmtpGreeting)
	} else {
		o.say(s.l.srv.greeting)
	}
}

// admit asks whether this client may be served at all.
func (s *Session) admit() *smtp.Failure {
	if s.stopping {
		return errShutdown
	}
	if f := s.l.srv.Policy.Connect(&s.client); f != nil {
		return closing(f.With(f.Cause))
	}
	return nil
}

// TLSDone says that the handshake succeeded. All that was known is forgotten (RFC 3207 4.2).
func (s *Session) TLSDone(now time.Time, state *tls.ConnectionState, o *Output) {
	s.now, s.since = now, now
	fresh := s.l.Kind == Submissions // TLS from the first octet
	s.endTransaction()
	s.client.TLS, s.client.User, s.client.Tenant = state, nil, s.l.Tenant
	s.client.Helo, s.client.ESMTP = "", false
	if fresh {
		s.move(stateBanner)
		s.banner(o)
		return
	}
	s.move(stateGreeted)
	s.settle(o)
}

// Shutdown says that the server stops. What is in flight is finished; then the session closes.
func (s *Session) Shutdown(now time.Time, o *Output) {
	s.now, s.stopping = now, true
	s.settle(o)
}

// close ends the session; whatever it holds is given back.
func (s *Session) close(o *Output) {
	o.Action = Close
	s.End()
}

// End gives back what the session holds. The shell calls it when the connection is gone. A session
// that waits for the queue's answer keeps its envelope for the record of it.
func (s *Session) End() {
	if s.state != stateCommitting && s.state != stateClosed {
		s.endTransaction()
		s.endSASL()
		s.move(stateClosed)
	}
	if s.admitted {
		s.l.door.Leave(s.client.Addr.Addr())
		s.admitted = false
	}
}
