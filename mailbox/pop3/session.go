package pop3

import (
	"bytes"
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/mailbox"
)

// Session is the server's side of one POP3 connection as a pure state machine: octets and answers
// go in, replies and at most one Action a call come out. It has no socket, goroutine or clock. It
// is owned by its connection's event loop.
//
// The shell (conn.go) calls Start once; then Step with what was received, Timeout when Wait has
// passed, and, while the session is parked, the one method that answers the Action: TLSDone,
// Authenticated, Opened, Fetched or Updated. Drained says that the client has taken all that was
// sent, Renewed what became of Output.Renew. Input that Step did not take is to be given again.
type Session struct {
	l      *listener
	limits *Limits        // of the server when the session began
	addr   netip.AddrPort // the client's, after a PROXY header
	now    time.Time      // of the present call
	// of the last whole command, answer, or piece that the client took: what the timeouts count
	// from
	since time.Time

	state state
	after state // where to go when stateSlowed has ended

	said     string        // of USER, in statePassword
	user     string        // who has logged in
	sasl     *saslExchange // in stateSASL
	held     *failure      // in stateSlowed
	maildrop *maildrop     // in the locked states
	list     listing       // in stateListing
	msg      retrieval     // in stateFetching, stateSending
	next     int           // index of the message behind the one that was asked for last

	renewed, renewAt time.Time // when the lock was renewed last, and when it will be
	renewing         bool

	errors, junk, authFailures int
	retrieved, removed         int
	octets                     int64
	secure                     bool // TLS
	stopping                   bool // the server shuts down
	admitted                   bool // counted in the client's network
}

// Action is what a session asks of its shell besides sending a reply.
type Action uint8

const (
	None         Action = iota
	StartTLS            // handshake with Output.TLS, then TLSDone
	AcceptTLS           // the same, but the client's first octets may have come already
	Authenticate        // check Output.Login, then Authenticated
	Open                // lock and list the maildrop of Output.User, then Opened
	Fetch               // read Output.Piece, then Fetched
	Update              // remove Output.Removals, then Updated
	Close               // after the reply
	Abort               // at once: the client is in the middle of an answer that has no end
)

// Output is what one call asks for: first send Reply, then do Action. Renew comes beside it: renew
// the lock, then Renewed.
type Output struct {
	Reply  []byte
	Action Action
	TLS    *tls.Config
	Login  Login
	User   string
	Piece  Piece
	// whole messages that the client will ask for next, if it goes on as before; they fit a piece
	// together with Piece
	Ahead    []Piece
	Removals []mailbox.UID
	Renew    bool
}

// Login is what USER and PASS, or AUTH PLAIN, say.
type Login struct{ Authzid, User, Password string }

// Piece is a piece of a message.
type Piece struct {
	UID    mailbox.UID
	Offset int64
	Length int  // at most pieceSize
	Last   bool // of the message
}

func (o *Output) say(reply string) { o.Reply = append(o.Reply, reply...) }

// maxReplies is how many octets of replies one call gathers before it returns, so that the shell
// can see whether the client takes them.
const maxReplies = 32 << 10

// Start begins the session.
func (s *Session) Start(now time.Time, o *Output) {
	s.now, s.since = now, now
	s.limits = s.l.srv.limits.Load()
	if !inbound.Listed(s.l.ProxyFrom, s.addr.Addr()) {
		s.begin(o)
	}
	s.settle(o)
}

// begin begins what a client sees of a session: the handshake, or the greeting.
func (s *Session) begin(o *Output) {
	full := s.enter()
	if !s.l.Implicit {
		s.move(stateAuthorization)
		if full != nil {
			s.refuse(o, full)
			return
		}
		s.greet(o)
		return
	}
	if full != nil { // before the handshake there are no words
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

func (s *Session) greet(o *Output) {
	if s.stopping {
		s.refuse(o, errShutdown)
		return
	}
	o.say(s.l.srv.greeting)
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

// settle does what is due after each call: the lock is renewed, and the session of a server that
// stops ends as soon as nothing of it is in flight.
func (s *Session) settle(o *Output) {
	if s.stopping && o.Action == None && idleStates.has(s.state) {
		s.farewell(o, errShutdown)
	}
	if s.renewDue() {
		s.renewing, o.Renew = true, true
	}
}

func (s *Session) take(in []byte, o *Output) int {
	switch {
	case s.state == stateClosed:
		return len(in)
	case s.state == stateProxy:
		return s.proxy(in, o)
	case parkedStates.has(s.state):
		return 0
	}
	return s.line(in, o)
}

// maxLine bounds every line; only AUTH may be that long (RFC 4954 4.1 has this bound for SMTP; RFC
// 5034 has none).
const maxLine = 12288

// line takes one line: a command, or the answer to an AUTH challenge. That some clients end lines
// with LF alone does no harm here.
func (s *Session) line(in []byte, o *Output) int {
	eol := bytes.IndexByte(in[:min(len(in), maxLine)], '\n')
	if eol < 0 {
		if len(in) >= maxLine {
			s.refuse(o, errLineEndless)
			return len(in)
		}
		return 0
	}
	n := eol + 1
	s.since = s.now
	line := in[:eol]
	if eol > 0 && in[eol-1] == '\r' {
		line = in[:eol-1]
	}
	if s.state == stateSASL {
		s.saslLine(line, o)
	} else {
		s.command(line, n < len(in), o)
	}
	return n
}

// proxy takes the PROXY header.
func (s *Session) proxy(in []byte, o *Output) int {
	h, n, err := inbound.ParseHeader(in)
	if err != nil {
		s.refuse(o, errProxyHeader)
		return len(in)
	}
	if n == 0 {
		return 0
	}
	if h.Client.IsValid() {
		s.addr = h.Client
	}
	s.since = s.now
	s.begin(o)
	return n
}

// TLSDone says that the handshake succeeded. All that was known is forgotten (RFC 2595 4).
func (s *Session) TLSDone(now time.Time, o *Output) {
	s.now, s.since = now, now
	s.secure, s.said = true, ""
	s.move(stateAuthorization)
	if s.l.Implicit { // TLS from the first octet
		s.greet(o)
	}
	s.settle(o)
}

// Shutdown says that the server stops. An answer in flight is finished; then the session closes.
func (s *Session) Shutdown(now time.Time, o *Output) {
	s.now, s.stopping = now, true
	s.settle(o)
}

// Cut ends the session of a server that waits no longer.
func (s *Session) Cut(now time.Time, o *Output) {
	s.now = now
	if s.state != stateClosed {
		s.breakOff(o, errShutdown)
	}
}

// close ends the session.
func (s *Session) close(o *Output) {
	o.Action = Close
	s.End("")
}

// breakOff ends the session wherever it is. A message that is half sent stays so: whatever would be
// said would be part of it.
func (s *Session) breakOff(o *Output, f *failure) {
	if midStates.has(s.state) {
		s.abort(o, f)
	} else {
		s.farewell(o, f)
	}
}

// abort ends the session in the middle of an answer.
func (s *Session) abort(o *Output, f *failure) {
	o.Action = Abort
	s.End(f.text)
}

// End gives back what the session holds. The shell calls it when the connection is gone. Nothing is
// deleted but by QUIT (RFC 1939 6).
func (s *Session) End(why string) {
	if s.state == stateClosed {
		return
	}
	s.state = stateClosed
	s.sasl = nil
	if s.admitted {
		s.l.door.Leave(s.addr.Addr())
		s.admitted = false
	}
	if s.maildrop == nil {
		return
	}
	srv := s.l.srv
	srv.Budget.Release(s.maildrop.memory())
	srv.stats.loggedIn.Add(-1)
	srv.Ended(&Ended{
		User: s.user, Client: s.addr, TLS: s.secure, Retrieved: s.retrieved, Octets: s.octets,
		Removed: s.removed,
		Left:    len(s.maildrop.messages) - s.removed, Why: why,
	})
	s.maildrop = nil
}

// Parked reports whether input waits for an answer, or for the client to take what was sent.
func (s *Session) Parked() bool { return parkedStates.has(s.state) }

// Locked reports whether the session needs the lock of its maildrop.
func (s *Session) Locked() bool {
	return lockedStates.has(s.state) || s.state == stateSlowed && s.after == stateTransaction
}
