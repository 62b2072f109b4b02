package pop3

import (
	"bytes"
	"strconv"
	"time"
)

// listing is an answer of LIST or UIDL for all messages, which goes out in pieces.
type listing struct {
	next int  // the message that comes next
	uids bool // UIDL
}

// Opened is the answer to the action Open, which was asked for at asked: the maildrop, or why it
// was not locked.
func (s *Session) Opened(now, asked time.Time, d *maildrop, err error, o *Output) {
	s.now, s.since = now, now
	if s.state != stateOpening {
		return
	}
	f := (*failure)(nil)
	switch {
	case err != nil:
		f = openFailure(err)
	case !s.l.srv.Budget.TryReserve(d.memory()):
		f = errNoMemory
	}
	if f != nil { // RFC 1939 4: the session may try again
		s.move(stateAuthorization)
		s.fail(o, f)
	} else {
		s.maildrop, s.errors = d, 0
		s.keptUntil(asked)
		s.l.srv.stats.loggedIn.Add(1)
		s.move(stateTransaction)
		o.say("+OK Logged in\r\n")
	}
	s.settle(o)
}

func (s *Session) stat(_ []byte, o *Output) *failure {
	o.say("+OK ")
	o.Reply = strconv.AppendInt(o.Reply, int64(s.maildrop.count), 10)
	o.Reply = strconv.AppendInt(append(o.Reply, ' '), s.maildrop.octets, 10)
	o.say("\r\n")
	return nil
}

func (s *Session) listSizes(args []byte, o *Output) *failure { return s.tell(args, false, o) }
func (s *Session) listUIDs(args []byte, o *Output) *failure  { return s.tell(args, true, o) }

// tell answers LIST and UIDL, for one message or for all.
func (s *Session) tell(args []byte, uids bool, o *Output) *failure {
	if len(args) > 0 {
		i, f := s.message(args)
		if f == nil {
			o.say("+OK ")
			o.Reply = s.maildrop.appendLine(o.Reply, i, uids)
		}
		return f
	}
	o.say("+OK\r\n")
	s.list = listing{uids: uids}
	s.move(stateListing)
	s.moreLines(o)
	return nil
}

// moreLines sends what comes next of a listing; what is left waits until the client has taken that.
func (s *Session) moreLines(o *Output) {
	l := &s.list
	for ; l.next < len(s.maildrop.messages); l.next++ {
		if len(o.Reply) >= maxReplies {
			return
		}
		if !s.maildrop.isMarked(l.next) {
			o.Reply = s.maildrop.appendLine(o.Reply, l.next, l.uids)
		}
	}
	o.say(".\r\n")
	s.move(stateTransaction)
}

// Drained says that the client has taken all that was sent.
func (s *Session) Drained(now time.Time, o *Output) {
	s.now, s.since = now, now
	switch s.state {
	case stateListing:
		s.moreLines(o)
	case stateSending:
		s.fetch(o)
	}
	s.settle(o)
}

// message returns the index of the message that args name.
func (s *Session) message(args []byte) (int, *failure) {
	n, ok := number(args)
	switch {
	case !ok:
		return 0, errNumber
	case n < 1 || n > int64(len(s.maildrop.messages)):
		return 0, errNoMessage
	case s.maildrop.isMarked(int(n) - 1):
		return 0, errDeleted
	}
	return int(n) - 1, nil
}

// number reads a decimal number of up to ten digits: signs and spaces are none.
func number(b []byte) (n int64, ok bool) {
	u, err := strconv.ParseUint(string(b), 10, 64)
	return int64(u), err == nil && len(b) <= 10
}

func (s *Session) dele(args []byte, o *Output) *failure {
	i, f := s.message(args)
	if f == nil {
		s.maildrop.mark(i)
		o.say("+OK\r\n")
	}
	return f
}

func (s *Session) rset(_ []byte, o *Output) *failure {
	s.maildrop.reset()
	o.say("+OK\r\n")
	return nil
}

func (s *Session) retr(args []byte, o *Output) *failure {
	i, f := s.message(args)
	if f == nil {
		s.retrieve(i, retrieval{}, o)
	}
	return f
}

func (s *Session) top(args []byte, o *Output) *failure {
	which, lines, _ := bytes.Cut(args, []byte{' '})
	i, f := s.message(which)
	if f != nil {
		return f
	}
	n, ok := number(lines)
	if !ok {
		return errTopArgs
	}
	s.retrieve(i, retrieval{top: true, cut: topReader{left: n}}, o)
	return nil
}

// appendExpire says how long messages are kept (RFC 2449 6.7). Before the log-in nothing is said,
// because it differs from user to user.
func (d *maildrop) appendExpire(b []byte) []byte {
	b = append(b, "EXPIRE "...)
	if d.retention == 0 {
		b = append(b, "NEVER"...)
	} else {
		b = strconv.AppendInt(b, int64(d.retention/(24*time.Hour)), 10)
	}
	return append(b, '\r', '\n')
}
