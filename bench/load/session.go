package load

import (
	"encoding/base64"
	"fmt"
	"strconv"
)

// session is the client's side of one SMTP connection as a pure state machine: octets and events go
// in, octets and at most one action a call come out. It has no socket, goroutine or clock. Whoever
// owns it calls step with what was received, and one of tlsDone, drained and wake when that has
// happened; closed comes last.
//
// Replies come in the order of the commands, so each reply is for the oldest message under way,
// whose stage says for which of its commands. A message that failed in a way that may have left a
// transaction open has the session send RSET before the next.
type session struct {
	p   *protocol
	own owner
	now int64
	o   *output

	state   state
	offers  offers
	flight  []*message // under way, the oldest first
	writing *message   // the one whose content is not all written
	begun   int        // messages on this connection
	reset   bool       // RSET is due when nothing is under way
	secured bool
	helo    bool  // EHLO is not known here
	err     error // why the session has failed
}

// protocol is what all sessions of a load have in common.
type protocol struct {
	o     *Options
	maker *maker
}

// owner is who has the messages of a session.
type owner interface {
	// take returns the next message; nil when there is none now.
	take(now int64) *message
	// over reports whether there will never be one.
	over() bool
	// ready is told that the session can send.
	ready(now int64, o offers)
	// refused is told of each reply of 4xx and 5xx.
	refused(at string, r reply)
	// ended gets back a message whose attempt has ended.
	ended(now int64, m *message)
}

// output is what a call asks for: first send out, then do the action.
type output struct {
	out    []byte
	action action
}

type action uint8

const (
	actNone     action = iota
	actStartTLS        // then tlsDone
	actClose           // the session is over
	actAbort           // the session has failed: session.err
)

// state is where a session is. It only moves on, but for a return from stateReset to stateReady and
// the second EHLO.
type state uint8

const (
	stateBanner state = iota
	stateEhlo
	stateStartTLS
	stateHandshake
	stateAuthUser // AUTH LOGIN: its first question is to come
	stateAuthPass // and its second
	stateAuth     // the verdict
	stateReady
	stateReset
	stateQuit
	stateEnded
)

func (s state) String() string {
	return [...]string{"banner", "ehlo", "starttls", "tls", "auth", "auth", "auth", "ready", "rset",
		"quit", "ended"}[s]
}

// awaiting reports whether it is the server's turn.
func (s *session) awaiting() bool { return s.state != stateReady || len(s.flight) > 0 }

// step takes octets from the server and returns how many it used.
func (s *session) step(now int64, in []byte, o *output) (n int) {
	s.now, s.o = now, o
	for n < len(in) && o.action == actNone {
		r, used, err := parseReply(in[n:])
		if err != nil {
			s.abort(err)
			break
		}
		if used == 0 {
			break
		}
		n += used
		s.reply(r)
	}
	return n
}

func (s *session) reply(r reply) {
	if r.class() >= 4 {
		s.own.refused(s.place(), r)
	}
	switch s.state {
	case stateReady:
		s.transactionReply(r)
	case stateReset:
		s.reset = false
		s.become(stateReady)
	case stateQuit:
		s.end()
	case stateHandshake, stateEnded:
	default:
		s.setUp(r)
	}
	if r.code == 421 && s.state != stateEnded { // nothing more will come (RFC 5321 3.8)
		s.abort(fmt.Errorf("the server closes: %.80s", r.text))
	}
	s.advance()
}

// place names what a reply is to.
func (s *session) place() string {
	if s.state == stateReady && len(s.flight) > 0 {
		return [...]string{"mail", "rcpt", "data", "end", "end", "end"}[s.flight[0].stage]
	}
	return s.state.String()
}

// setUp takes the replies up to the first message.
func (s *session) setUp(r reply) {
	switch {
	case s.state == stateEhlo && !s.helo && (r.code == 500 || r.code == 502):
		s.helo = true
		s.say("HELO ", s.p.o.Helo)
	case r.class() != 2 && r.class() != 3:
		s.abort(fmt.Errorf("%s: %.80s", s.state, r.text))
	case s.state == stateBanner:
		s.ehlo()
	case s.state == stateEhlo:
		s.offers = readOffers(r)
		s.afterEhlo()
	case s.state == stateStartTLS:
		s.become(stateHandshake)
		s.o.action = actStartTLS
	case s.state == stateAuthUser:
		s.become(stateAuthPass)
		s.say(encode(s.p.o.Username))
	case s.state == stateAuthPass:
		s.become(stateAuth)
		s.say(encode(s.p.o.Password))
	case s.state == stateAuth:
		s.ready()
	}
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func (s *session) ehlo() {
	s.become(stateEhlo)
	s.say("EHLO ", s.p.o.Helo)
}

func (s *session) afterEhlo() {
	o := s.p.o
	switch {
	case o.TLS == TLSStart && !s.secured && !s.offers.starttls:
		s.abort(fmt.Errorf("the server does not offer STARTTLS"))
	case o.TLS == TLSStart && !s.secured:
		s.become(stateStartTLS)
		s.say("STARTTLS")
	case o.Envelope.UTF8 && !s.offers.utf8:
		s.abort(fmt.Errorf("the server does not offer SMTPUTF8"))
	case o.Username == "":
		s.ready()
	case s.offers.plain: // RFC 4616, with the initial response of RFC 4954 4
		s.become(stateAuth)
		s.say("AUTH PLAIN ", encode("\x00"+o.Username+"\x00"+o.Password))
	case s.offers.login:
		s.become(stateAuthUser)
		s.say("AUTH LOGIN")
	default:
		s.abort(fmt.Errorf("the server offers neither AUTH PLAIN nor AUTH LOGIN"))
	}
}

func (s *session) ready() {
	s.become(stateReady)
	s.own.ready(s.now, s.offers)
}

// tlsDone says that the handshake has succeeded. What was offered in clear counts no more (RFC 3207
// 4.2).
func (s *session) tlsDone(now int64, o *output) {
	s.now, s.o = now, o
	s.secured = true
	s.ehlo()
}

// drained says that the socket has taken what was written.
func (s *session) drained(now int64, o *output) {
	s.now, s.o = now, o
	if s.writing != nil && s.state == stateReady {
		s.write(s.writing)
	}
	s.advance()
}

// wake has the session look for a message again.
func (s *session) wake(now int64, o *output) {
	s.now, s.o = now, o
	s.advance()
}

// advance begins what can be begun.
func (s *session) advance() {
	for s.room() {
		m := s.own.take(s.now)
		if m == nil {
			break
		}
		s.send(m)
	}
	if s.state != stateReady || len(s.flight) > 0 {
		return
	}
	switch {
	case s.reset:
		s.become(stateReset)
		s.say("RSET")
	case s.full() || s.own.over():
		s.become(stateQuit)
		s.say("QUIT")
	}
}

// full reports whether the connection has had its messages.
func (s *session) full() bool { return s.p.o.PerConnection > 0 && s.begun >= s.p.o.PerConnection }

// room reports whether a further message may begin.
func (s *session) room() bool {
	switch n := len(s.flight); {
	case s.state != stateReady || s.reset || s.writing != nil || s.full():
		return false
	case n == 0:
		return true
	case s.pipelining() != PipelineStream || !s.flight[n-1].ended:
		return false
	default:
		return n < s.window()
	}
}

// window is how many messages may be under way. With DATA the 354 of the next is awaited while the
// last reply of one is due, and no more.
func (s *session) window() int {
	if s.bdat() {
		return s.p.o.Window
	}
	return 2
}

func (s *session) pipelining() Pipelining {
	if !s.offers.pipelining {
		return PipelineOff
	}
	return s.p.o.Pipelining
}

func (s *session) bdat() bool { return s.p.o.Chunking && s.offers.chunking }

// end ends the session in order.
func (s *session) end() {
	s.become(stateEnded)
	s.o.action = actClose
}

// abort ends it at once.
func (s *session) abort(err error) {
	if s.state == stateEnded {
		return
	}
	s.become(stateEnded)
	s.err, s.o.action = err, actAbort
}

// closed gives back what was under way. Where the end of the data was sent and no reply has come,
// nobody knows what became of it.
func (s *session) closed(now int64) {
	s.state, s.writing = stateEnded, nil
	for _, m := range s.flight {
		outcome := Lost
		if m.ended && m.stage != stageNobody {
			outcome = Unknown
		}
		m.conclude(outcome, 0)
		s.own.ended(now, m)
	}
	clear(s.flight)
	s.flight = s.flight[:0]
}

func (s *session) become(next state) {
	back := s.state == stateReset && next == stateReady || next == stateEhlo &&
		s.state == stateHandshake
	if next <= s.state && !back {
		panic("bench/load: a session cannot go back from " + s.state.String() + " to " +
			next.String())
	}
	s.state = next
}

// say writes a command.
func (s *session) say(words ...string) {
	for _, w := range words {
		s.o.out = append(s.o.out, w...)
	}
	s.o.out = append(s.o.out, "\r\n"...)
}

func (s *session) number(n int) { s.o.out = strconv.AppendInt(s.o.out, int64(n), 10) }
