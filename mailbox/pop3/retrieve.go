package pop3

import (
	"errors"
	"strconv"
	"time"

	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox"
)

// pieceSize is the most of a message that is in memory for one session, beside what its dots add:
// it goes to the socket, and the next piece is read when the client has taken that.
const pieceSize = 60 << 10

// retrieval is a message that is going out, whole or its top.
type retrieval struct {
	message
	sent    int64 // octets of the message
	began   bool  // +OK was said
	top     bool
	cut     topReader // of TOP
	stuffer smtp.DotStuffer
}

// retrieve begins to send message i.
func (s *Session) retrieve(i int, r retrieval, o *Output) {
	s.msg = r
	s.msg.message = s.maildrop.messages[i]
	s.move(stateFetching)
	s.ask(o)
	if i > 0 && i == s.next && o.Piece.Last {
		s.askAhead(i+1, pieceSize-o.Piece.Length, o)
	}
	s.next = i + 1
}

// maxAhead is how many messages are read ahead at once.
const maxAhead = 32

// askAhead names the messages from i on that fit so many octets. Most clients read a maildrop from
// one end to the other, one command after the other: then a worker is needed for some only.
func (s *Session) askAhead(i, room int, o *Output) {
	for ; i < len(s.maildrop.messages) && len(o.Ahead) < maxAhead; i++ {
		m := s.maildrop.messages[i]
		if s.maildrop.isMarked(i) {
			continue
		}
		if room -= int(m.size); room < 0 {
			return
		}
		o.Ahead = append(o.Ahead, Piece{UID: m.uid, Length: int(m.size), Last: true})
	}
}

// fetch goes on with the next piece.
func (s *Session) fetch(o *Output) {
	s.move(stateFetching)
	s.ask(o)
}

func (s *Session) ask(o *Output) {
	m := &s.msg
	left := int64(m.size) - m.sent
	length := min(left, pieceSize)
	o.Action = Fetch
	o.Piece = Piece{UID: m.uid, Offset: m.sent, Length: int(length), Last: left == length}
}

// Fetched is the answer to the action Fetch: the whole piece, or why it could not be read.
func (s *Session) Fetched(now time.Time, piece []byte, err error, o *Output) {
	s.now, s.since = now, now
	if s.state != stateFetching {
		return
	}
	if err != nil {
		s.unreadable(err, o)
	} else {
		s.send(piece, o)
	}
	s.settle(o)
}

// unreadable answers for a message that cannot be read. Once it has begun, only the end of the
// connection says that it is not whole.
func (s *Session) unreadable(err error, o *Output) {
	if s.msg.began {
		s.abort(o, errUnreadable)
		return
	}
	s.move(stateTransaction)
	if errors.Is(err, mailbox.ErrNoMessage) { // by another way than POP3, or by its retention
		s.fail(o, errGone)
	} else {
		s.fail(o, errUnreadable)
	}
}

// send sends a piece, and the end when it was the last.
func (s *Session) send(piece []byte, o *Output) {
	m := &s.msg
	if !m.began {
		m.began = true
		s.answer(o)
	}
	m.sent += int64(len(piece))
	end := m.sent >= int64(m.size)
	if m.top {
		n, done := m.cut.take(piece)
		piece, end = piece[:n], end || done
	}
	o.Reply = m.stuffer.Append(o.Reply, piece)
	if !end {
		s.move(stateSending)
		return
	}
	o.Reply = m.stuffer.Finish(o.Reply)
	s.move(stateTransaction)
	if !m.top {
		s.retrieved++
		s.octets += m.sent
		s.l.srv.stats.retrieved.Add(1)
		s.l.srv.stats.octets.Add(uint64(m.sent))
	}
}

func (s *Session) answer(o *Output) {
	if s.msg.top {
		o.say("+OK\r\n")
		return
	}
	o.say("+OK ")
	o.Reply = strconv.AppendUint(o.Reply, uint64(s.msg.size), 10)
	o.say(" octets\r\n")
}
