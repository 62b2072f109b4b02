package mail

import (
	"bytes"
	"cmp"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
)

// Limits of a sink's session, so that a faulty sender is noticed.
const (
	sessionTimeout = 10 * time.Minute
	lineLimit      = 16 << 10
)

// mode is what the next octets are.
type mode uint8

const (
	inCommands mode = iota
	inData          // content up to the final dot
	inChunk         // a BDAT chunk
)

// session is a sink's side of one connection. It lives on the connection's loop.
type session struct {
	sink *Sink
	port *port
	c    *eventloop.Conn
	step Step

	connected time.Time

	mode    mode
	parked  bool   // a delayed answer is due; input waits
	over    bool   // the connection is being closed
	chunk   int64  // octets left of the chunk
	last    bool   // the chunk is the last one
	refusal string // what the hook has said about the chunks to come
	cutIn   int64  // reset the connection after so many octets of content; 0: never
	tx      transaction
	from    argument // of the last MAIL
	to      argument // of the last RCPT
	content receiver
	out     []byte // for writing
}

// transaction is a mail transaction (RFC 5321 3.3).
type transaction struct {
	open  bool
	begun bool // content has
	d     Delivery
}

func (s *Sink) session(c *eventloop.Conn, p *port) eventloop.Handler {
	se := &session{sink: s, port: p, c: c, connected: time.Now()}
	se.step.Session, se.step.Remote, se.step.Listener = s.joined(), c.RemoteAddr(), p.index
	return se
}

func (s *session) Open() {
	s.c.SetDeadline(sessionTimeout)
	s.step.At = AtConnect
	s.answer("220 " + s.port.Host + " ESMTP")
}

func (s *session) Timeout()          { s.c.Abort() }
func (s *session) Drained()          {}
func (s *session) TLSDone(err error) { s.reset(); s.step.Helo, s.step.TLS = "", err == nil }

func (s *session) Closed(error) {
	s.over = true
	s.sink.left()
	if s.sink.o.Left != nil {
		s.sink.o.Left(s.step.Session)
	}
}

// Data consumes commands and content.
func (s *session) Data(p []byte) (n int) {
	for n < len(p) && !s.parked && !s.over {
		took := 0
		switch s.mode {
		case inCommands:
			took = s.command(p[n:])
		case inData:
			took = s.data(p[n:])
		case inChunk:
			took = s.bdat(p[n:])
		}
		if took == 0 {
			break
		}
		n += took
	}
	return n
}

// command takes a command line.
func (s *session) command(p []byte) int {
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		if len(p) > lineLimit {
			s.over = true
			s.c.Abort()
		}
		return 0
	}
	s.c.SetDeadline(sessionTimeout)
	s.do(bytes.TrimRight(p[:end], "\r"))
	return end + 1
}

func (s *session) data(p []byte) int {
	n, end := s.content.data(p)
	if s.cutHere() {
		return n
	}
	if end {
		s.mode = inCommands
		s.end()
	}
	return n
}

func (s *session) bdat(p []byte) int {
	n := min(int64(len(p)), s.chunk)
	s.chunk -= n
	if s.tx.open { // else the chunk is swallowed (RFC 3030 2)
		s.content.write(p[:n])
	}
	if s.cutHere() {
		return int(n)
	}
	if s.chunk == 0 {
		s.chunkDone()
	}
	return int(n)
}

func (s *session) chunkDone() {
	s.mode = inCommands
	switch {
	case s.refusal != "":
		s.reply(s.refusal)
		s.reset()
	case !s.tx.open:
		s.reply("503 5.5.1 MAIL and RCPT first")
	case s.last:
		s.end()
	default:
		s.reply("250 2.0.0 Ok")
	}
}

// cutHere resets the connection when a hook has asked for it.
func (s *session) cutHere() bool {
	if s.cutIn == 0 || s.content.size < s.cutIn {
		return false
	}
	s.over = true
	s.c.Abort()
	return true
}

// end is the end of mail data.
func (s *session) end() {
	s.step.At, s.step.ID = AtEnd, s.content.identity()
	s.step.Nth++
	usual := "250 2.0.0 Ok: accepted"
	if limit := s.sink.o.Size; limit > 0 && s.content.size > limit {
		usual = "552 5.3.4 message too big"
	}
	s.answer(usual)
}

// accept records the transaction.
func (s *session) accept() {
	d := &s.tx.d
	d.ID, d.Sum, d.Size, d.Content = s.content.id, s.content.sum(), s.content.size, s.content.kept
	d.Session, d.Remote, d.TLS, d.Connected, d.Accepted = s.step.Session, s.step.Remote, s.step.TLS,
		s.connected, time.Now()
	s.sink.record(d)
}

// reset ends the transaction.
func (s *session) reset() {
	recipients := s.tx.d.Recipients[:0]
	s.tx = transaction{}
	if s.sink.o.Count { // else the Delivery that was kept has them
		s.tx.d.Recipients = recipients
	}
	s.refusal, s.cutIn = "", 0
	s.step.Sender, s.step.Recipient, s.step.Recipients, s.step.ID = "", "", nil, ""
}

func (s *session) ask() Action { return (*s.sink.hook.Load())(&s.step) }

// answer asks the hook and answers, now or later. What follows from the answer is proceed's.
func (s *session) answer(usual string) {
	a := s.ask()
	reply := cmp.Or(a.Reply, usual)
	s.cutIn = a.CutIn
	if a.Until == nil && a.Delay == 0 {
		s.finish(a, reply)
		return
	}
	s.parked = true
	late := func() { s.c.Post(func() { s.parked = false; s.finish(a, reply); s.c.Resume() }) }
	if a.Until != nil {
		go func() { <-a.Until; late() }()
		return
	}
	time.AfterFunc(a.Delay, late)
}

func (s *session) finish(a Action, reply string) {
	if s.over {
		return
	}
	if a.Cut {
		s.over = true
		s.c.Abort()
		return
	}
	s.proceed(a, reply)
	if s.step.At == AtQuit {
		a.Close = true
	}
	if a.Drip > 0 {
		s.parked = true
		s.drip(a, reply+"\r\n")
		return
	}
	s.reply(reply)
	s.closeIf(a)
}

func (s *session) closeIf(a Action) {
	if a.Close {
		s.over = true
		s.c.Close()
	}
}

// drip sends the rest of a reply octet by octet.
func (s *session) drip(a Action, rest string) {
	switch {
	case s.over:
	case rest == "":
		s.parked = false
		s.closeIf(a)
		s.c.Resume()
	default:
		s.c.Write([]byte(rest[:1]))
		time.AfterFunc(a.Drip, func() { s.c.Post(func() { s.drip(a, rest[1:]) }) })
	}
}

func (s *session) reply(text string) {
	s.out = append(append(s.out[:0], text...), "\r\n"...)
	s.c.Write(s.out)
}
