package mail

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// transaction sends m to rcpts and notes the outcome in s. It returns the recipients that are to be
// tried again, and why.
func (c *client) transaction(m *Message, rcpts []string, s *Sent) (again []string, err error) {
	bdat := c.o.Chunking > 0 && c.offers["CHUNKING"]
	piped := c.o.Pipelining && c.offers["PIPELINING"]
	t := &attempt{c: c, m: m, s: s, rcpts: rcpts}
	if piped && !bdat {
		return t.pipelined()
	}
	if err := t.envelope(); err != nil {
		return t.rest(), err
	}
	if bdat {
		return t.chunks(piped)
	}
	if _, err := c.ask("DATA", "354"); err != nil {
		return t.rest(), c.reset(err)
	}
	return t.content()
}

// errNobody stands for the replies to RCPT when all of them were permanent refusals.
const errNobody = replyError("550 all recipients refused")

// attempt is one transaction under way.
type attempt struct {
	c     *client
	m     *Message
	s     *Sent
	rcpts []string // to be sent to
	taken []string // with a 250 at RCPT
	later []string // with a 4xx at RCPT
	why   error    // of later
}

// rest returns those who are neither refused nor served.
func (t *attempt) rest() []string {
	if t.taken == nil && t.later == nil {
		return t.rcpts
	}
	return append(t.taken, t.later...)
}

func (t *attempt) mailCommand() string {
	args := ""
	if t.m.EightBit && t.c.offers["8BITMIME"] {
		args += " BODY=8BITMIME"
	}
	if t.m.UTF8 {
		args += " SMTPUTF8"
	}
	if t.c.offers["SIZE"] {
		args += fmt.Sprintf(" SIZE=%d", len(t.m.Content))
	}
	if t.m.MailArgs != "" {
		args += " " + t.m.MailArgs
	}
	return "MAIL FROM:<" + t.m.Sender + ">" + args
}

func (t *attempt) rcptCommand(r string) string {
	if t.m.RcptArgs != "" {
		return "RCPT TO:<" + r + "> " + t.m.RcptArgs
	}
	return "RCPT TO:<" + r + ">"
}

// envelope sends MAIL and RCPT, each with its answer.
func (t *attempt) envelope() error {
	if _, err := t.c.ask(t.mailCommand(), "250"); err != nil {
		return t.refused(err)
	}
	for _, r := range t.rcpts {
		reply, err := t.c.ask(t.rcptCommand(r), "25")
		if err := t.rcpt(r, reply, err); err != nil {
			return err
		}
	}
	return t.anybody()
}

// rcpt notes the answer to one RCPT.
func (t *attempt) rcpt(r, reply string, err error) error {
	switch {
	case err == nil:
		t.taken = append(t.taken, r)
	case permanent(err):
		t.s.Refused = append(t.s.Refused, Refusal{r, strings.TrimSpace(reply)})
	case isReply(err):
		t.later, t.why = append(t.later, r), err
	default:
		return err
	}
	return nil
}

// anybody ends the transaction when no recipient was taken.
func (t *attempt) anybody() error {
	if len(t.taken) > 0 {
		return nil
	}
	if t.rcpts = t.later; t.why == nil {
		t.why = errNobody
	}
	return t.c.reset(t.why)
}

// refused notes a permanent refusal of the whole message.
func (t *attempt) refused(err error) error {
	if permanent(err) {
		for _, r := range t.rest() {
			t.s.Refused = append(t.s.Refused, Refusal{r, err.Error()})
		}
	}
	return t.c.reset(err)
}

// reset ends a transaction that has failed, so that the connection can go on.
func (c *client) reset(cause error) error {
	if !isReply(cause) {
		return cause
	}
	if closing(cause) {
		return fmt.Errorf("connection is closing: %s", cause)
	}
	if _, err := c.ask("RSET", "250"); err != nil {
		return err
	}
	return cause
}

// closing tells the reply after which nothing more comes (RFC 5321 3.8).
func closing(err error) bool { return strings.HasPrefix(err.Error(), "reply: 421") }

// pipelined sends MAIL, RCPT and DATA in one piece (RFC 2920).
func (t *attempt) pipelined() ([]string, error) {
	c := t.c
	c.out = append(append(c.out, t.mailCommand()...), "\r\n"...)
	for _, r := range t.rcpts {
		c.out = append(append(c.out, t.rcptCommand(r)...), "\r\n"...)
	}
	c.out = append(c.out, "DATA\r\n"...)
	if err := c.flush(); err != nil {
		return t.rest(), err
	}
	_, mailErr := c.expect("250")
	if mailErr != nil && (!isReply(mailErr) || closing(mailErr)) {
		return t.rest(), c.reset(mailErr)
	}
	for _, r := range t.rcpts {
		reply, err := c.expect("25")
		if mailErr != nil && isReply(err) {
			continue // 503, because there was no MAIL
		}
		if err := t.rcpt(r, reply, err); err != nil {
			return t.rest(), err
		}
	}
	_, dataErr := c.expect("354")
	switch {
	case mailErr != nil:
		return t.rcpts, t.refused(mailErr)
	case len(t.taken) == 0:
		err := t.nobody(dataErr == nil)
		return t.rcpts, err
	case dataErr != nil:
		return t.rest(), c.reset(dataErr)
	}
	return t.content()
}

// nobody ends a pipelined transaction without a recipient. A server that said 354 all the same gets
// an empty message, which it refuses (RFC 2920 3.1).
func (t *attempt) nobody(goAhead bool) error {
	if goAhead {
		if _, err := t.c.ask(".", "5"); err != nil && !isReply(err) {
			return err
		}
	}
	return t.anybody()
}

// content sends the content after a 354 and reads the last reply.
func (t *attempt) content() ([]string, error) {
	t.c.out = stuff(t.c.out, t.m.Content)
	if err := t.c.flush(); err != nil {
		return t.cut(err)
	}
	return t.final()
}

// chunks sends the content by BDAT (RFC 3030).
func (t *attempt) chunks(piped bool) ([]string, error) {
	c, rest := t.c, t.m.Content
	waiting := 0
	for len(rest) > 0 {
		n := min(len(rest), c.o.Chunking)
		last := ""
		if n == len(rest) {
			last = " LAST"
		}
		c.out = fmt.Appendf(c.out, "BDAT %d%s\r\n", n, last)
		c.out = append(c.out, rest[:n]...)
		rest = rest[n:]
		waiting++
		if piped && len(rest) > 0 {
			continue
		}
		if err := c.flush(); err != nil {
			return t.cut(err)
		}
		for ; waiting > 0; waiting-- {
			if len(rest) == 0 && waiting == 1 {
				return t.final()
			}
			if _, err := c.expect("250"); err != nil {
				return t.chunkFailed(err, waiting-1)
			}
		}
	}
	return nil, errors.New("mailtest: a message without content")
}

// chunkFailed reads the replies to the chunks that were sent behind one that was refused.
func (t *attempt) chunkFailed(err error, waiting int) ([]string, error) {
	if !isReply(err) {
		return t.cut(err)
	}
	for range waiting {
		if _, rerr := t.c.expect("250"); rerr != nil && !isReply(rerr) {
			return t.rest(), rerr
		}
	}
	return t.rest(), t.refused(err)
}

// final reads the reply to the end of the data.
func (t *attempt) final() ([]string, error) {
	reply, err := t.c.expect("250")
	switch {
	case err == nil:
		t.s.Accepted = append(t.s.Accepted, t.taken...)
		t.s.QueueID, t.s.At = queueID(reply), time.Now()
		return t.later, t.why
	case permanent(err):
		for _, r := range t.taken {
			t.s.Refused = append(t.s.Refused, Refusal{r, strings.TrimSpace(reply)})
		}
		return t.later, err
	case isReply(err):
		return t.rest(), t.c.reset(err)
	}
	return t.cut(err)
}

// cut notes that the content was sent, perhaps whole, and that nobody knows what became of it. It
// is not sent again: that would make a duplicate of our own.
func (t *attempt) cut(err error) ([]string, error) {
	t.s.Unknown = append(t.s.Unknown, t.taken...)
	return t.later, fmt.Errorf("no reply to the content: %w", err)
}
