package smtpclient

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/postroad/postroad/internal/smtp"
)

// buffers are lent to a connection for the length of a transaction.
type buffers struct {
	in  [4096]byte
	out []byte // commands
}

// maxKeptOut bounds the command buffers that the pool keeps; a thousand recipients may need more
// for once.
const maxKeptOut = 16 << 10

var bufferPool = sync.Pool{New: func() any { return &buffers{out: make([]byte, 0, 1024)} }}

func (c *Conn) borrow() {
	if c.buf == nil {
		c.buf = bufferPool.Get().(*buffers)
		c.r, c.w = 0, 0
	}
}

// giveBack returns the buffers. Octets that nobody waited for are the end of the connection.
func (c *Conn) giveBack() {
	if c.dead == nil && !c.quiet() {
		c.dead = outOfTurn(StepIdle)
	}
	if c.bulky {
		c.parser, c.bulky = smtp.ReplyParser{}, false
	}
	if cap(c.buf.out) <= maxKeptOut {
		c.buf.out = c.buf.out[:0]
		bufferPool.Put(c.buf)
	}
	c.buf = nil
}

// quiet reports whether the peer has said nothing more than what was read.
func (c *Conn) quiet() bool { return c.r == c.w && c.parser.Idle() }

// arm makes sure that the deadline lies at least d ahead and, when tight, at most a quarter of d
// further. Setting one costs a lock and a timer, so one that fits is kept.
func (c *Conn) arm(d time.Duration, tight bool) error {
	now := time.Now()
	slack := d / 4
	if at := now.Add(d); c.by.Before(at) || tight && c.by.After(at.Add(slack)) {
		c.by = at.Add(slack)
		return c.nc.SetDeadline(c.by)
	}
	return nil
}

// write sends one or two pieces with one system call where the transport can.
func (c *Conn) write(step Step, a, b []byte) *Error {
	var err error
	switch {
	case len(b) == 0:
		_, err = c.nc.Write(a)
	case c.nc == c.raw:
		c.vec = [2][]byte{a, b}
		c.bufs = c.vec[:]
		_, err = c.bufs.WriteTo(c.nc)
		c.vec, c.bufs = [2][]byte{}, nil
	default: // TLS makes a record of each write: let the small piece share the last one
		err = c.writeRecords(a, b)
	}
	if err != nil {
		return c.lost(step, err)
	}
	return nil
}

const tlsRecord = 16 << 10

func (c *Conn) writeRecords(a, b []byte) error {
	if whole := (len(a) + len(b)) / tlsRecord * tlsRecord; whole > 0 && whole < len(a) {
		if _, err := c.nc.Write(a[:whole]); err != nil {
			return err
		}
		a = a[whole:]
	} else if len(a) > tlsRecord {
		if _, err := c.nc.Write(a); err != nil {
			return err
		}
		a = nil
	}
	block := blockPool.Get().(*block)
	defer blockPool.Put(block)
	joined := append(append(block.out[:0], a...), b...)
	_, err := c.nc.Write(joined)
	return err
}

// reply reads one reply, which must be there as a whole within d.
func (c *Conn) reply(step Step, d time.Duration) (smtp.Reply, *Error) {
	if _, err := c.code(step, d); err != nil {
		return smtp.Reply{}, err
	}
	return c.parser.Reply(), nil
}

// code is reply for those who need no words; c.parser has them until the next reply.
func (c *Conn) code(step Step, d time.Duration) (int, *Error) {
	size, armed := 0, false
	for {
		if c.r == c.w {
			if !armed {
				armed = true
				c.arm(d, true)
			}
			n, err := c.nc.Read(c.buf.in[:])
			if n == 0 && err != nil {
				return 0, c.lost(step, err)
			}
			c.r, c.w = 0, n
		}
		n, done, err := c.parser.Parse(c.buf.in[c.r:c.w])
		c.r += n
		if size += n; size > c.maxReply() {
			err = smtp.ErrReplySize
		}
		if err != nil {
			return 0, c.broken(step, err)
		}
		if done {
			c.bulky = c.bulky || size > len(c.buf.in)
			return c.take(step), nil
		}
	}
}

func (c *Conn) maxReply() int {
	if c.o.MaxReply > 0 {
		return c.o.MaxReply
	}
	return DefaultMaxReply
}

// take takes the parsed reply's code. With 421 the peer ends the connection, whatever it answers
// (RFC 5321 3.8).
func (c *Conn) take(step Step) int {
	code := c.parser.Code()
	if code == smtp.ServiceUnavailable {
		c.dead = &Error{Status: theirs(step, c.parser.Reply())}
	}
	return code
}

// command sends one command and reads its reply.
func (c *Conn) command(step Step, d time.Duration, line string) (smtp.Reply, *Error) {
	if !c.quiet() {
		c.dead = outOfTurn(step)
		return smtp.Reply{}, c.dead
	}
	c.arm(d, true)
	c.buf.out = append(append(c.buf.out[:0], line...), '\r', '\n')
	if err := c.write(step, c.buf.out, nil); err != nil {
		return smtp.Reply{}, err
	}
	return c.reply(step, d)
}

// maxText bounds the words of a peer that travel to log, queue record and report.
const maxText = 1000

// theirs makes a status of the peer's reply.
func theirs(step Step, rep smtp.Reply) Status {
	s := Status{Code: rep.Code, Reply: rep.Code, Enhanced: rep.Enhanced, Text: rep.Text,
		Command: step}
	if strings.IndexByte(s.Text, '\n') >= 0 {
		s.Text = strings.ReplaceAll(s.Text, "\n", " ")
	}
	if len(s.Text) > maxText {
		s.Text = strings.ToValidUTF8(s.Text[:maxText], "")
	}
	general := [...]string{2: "2.0.0", 3: "4.5.0", 4: "4.0.0", 5: "5.0.0"}[rep.Class()]
	switch {
	case s.Enhanced == "":
		s.Enhanced = general
	case s.Enhanced == general && rep.Class() != 2: // else nobody could tell that it said so
		s.Text = strings.TrimSpace(general + " " + s.Text)
	}
	return s
}

// taken makes a refusal another one by a rule of ours. What the peer said stays.
func (s *Status) taken(code int, enhanced string) {
	s.Text = smtp.Words(s.Reply, s.Enhanced, s.Text)
	s.Code, s.Enhanced = code, enhanced
}

// ours makes a status of our own finding. Its text may quote the peer by way of an error (a
// certificate's names).
func ours(step Step, code int, enhanced, text string) Status {
	return Status{Code: code, Enhanced: enhanced, Text: printable(text), Command: step, Local: true}
}

func printable(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(s, "?"))
}

// lost notes the end of the connection: I/O failed.
func (c *Conn) lost(step Step, err error) *Error {
	text := "The connection was lost at " + step.String()
	var ne net.Error
	switch {
	case errors.As(err, &ne) && ne.Timeout():
		text = "Timed out at " + step.String()
	case errors.Is(err, io.EOF):
		text = "The remote closed the connection at " + step.String()
	case errors.Is(err, syscall.ECONNRESET):
		text = "The remote reset the connection at " + step.String()
	}
	c.dead = &Error{Status: ours(step, 451, "4.4.2", text), Cause: err}
	return c.dead
}

// lastWords looks for a reply that the peer sent before it stopped reading, such as 421 or 552: it
// says more than the failed write.
func (c *Conn) lastWords(step Step, failed *Error) *Error {
	if !errors.Is(failed.Cause, syscall.EPIPE) && !errors.Is(failed.Cause, syscall.ECONNRESET) {
		return failed
	}
	if rep, err := c.reply(step, time.Second); err == nil && rep.Class() >= 4 {
		failed = &Error{Status: theirs(step, rep), Cause: failed.Cause}
	}
	c.dead = failed
	return failed
}

// broken notes the end of the connection: the peer does not speak SMTP.
func (c *Conn) broken(step Step, err error) *Error {
	c.dead = &Error{Status: ours(step, 451, "4.5.0", "Protocol error at "+step.String()+": "+
		err.Error()), Cause: err}
	return c.dead
}

var errOutOfTurn = errors.New("the remote spoke out of turn")

func outOfTurn(step Step) *Error {
	return &Error{Status: ours(step, 451, "4.5.0", "Protocol error at "+step.String()+": "+
		errOutOfTurn.Error()), Cause: errOutOfTurn}
}

// unexpected notes a reply whose class has no place at this step; what follows cannot be told apart
// any more.
func (c *Conn) unexpected(step Step, rep smtp.Reply) *Error {
	return c.broken(step, errors.New("unexpected reply "+rep.Line()))
}
