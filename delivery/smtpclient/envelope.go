package smtpclient

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// exchange is the envelope of one transaction on its way: commands gathered in the buffer, sent
// together where the peer allows (RFC 2920), and the replies that are due, in the order of the
// commands.
type exchange struct {
	c       *Conn
	tx      *Transaction
	form    form
	results []Status

	// due:
	reset, mail, data bool
	rcpts             []int // places of the recipients

	mailOK   bool
	mailSaid Status // the refusal
	accepted int    // recipients accepted so far
	go354    bool   // the peer waits for the content
	dataSaid Status // or refused DATA
	aborted  bool   // BeforeEnd said no
	heard    bool   // the peer has answered at least one command
	places   [16]int
}

// window bounds the commands on the way at once, so that their replies fit into the sockets'
// buffers while we are still writing: else both sides might wait for the other (RFC 2920 section
// 3.1).
const window = 100

// envelope sends MAIL, RCPT and, unless BDAT is to follow, DATA. It returns an error when the
// connection broke; the results say what became of the recipients until then.
func (x *exchange) envelope() *Error {
	x.rcpts = x.places[:0]
	x.c.buf.out = x.c.buf.out[:0]
	if x.c.needReset {
		x.put("RSET")
		x.reset, x.c.needReset = true, false
		if err := x.stepwise(); err != nil {
			return err
		}
	}
	x.putMail()
	if err := x.stepwise(); err != nil {
		return err
	}
	for i := range x.tx.Recipients {
		if x.results[i].Code != 0 { // refused by negotiate
			continue
		}
		if len(x.rcpts) >= window {
			if err := x.settle(); err != nil {
				return err
			}
		}
		if x.refused() {
			break
		}
		x.putRcpt(i)
		if err := x.stepwise(); err != nil {
			return err
		}
	}
	if !x.form.bdat && (x.c.offers.Pipelining && !x.refused() || x.accepted > 0) {
		x.put("DATA")
		x.data = true
	}
	return x.settle()
}

// refused reports whether MAIL is known to have been refused.
func (x *exchange) refused() bool { return !x.mail && !x.mailOK }

func (x *exchange) put(line string) {
	x.c.buf.out = append(append(x.c.buf.out, line...), '\r', '\n')
}

// putMail appends MAIL with the parameters that the peer offers (RFC 5321 4.1.1.2, RFC 1870, RFC
// 6152, RFC 6531, RFC 3461).
func (x *exchange) putMail() {
	x.mail = true
	b := append(x.c.buf.out, "MAIL FROM:<"...)
	b = append(append(b, x.tx.Sender...), '>')
	if size := x.tx.size(); x.c.offers.Size && size > 0 {
		b = strconv.AppendInt(append(b, " SIZE="...), size, 10)
	}
	if x.form.body != "" {
		b = append(append(b, " BODY="...), x.form.body...)
	}
	if x.form.utf8 {
		b = append(b, " SMTPUTF8"...)
	}
	if x.c.offers.DSN {
		switch x.tx.Ret {
		case mail.RetFull:
			b = append(b, " RET=FULL"...)
		case mail.RetHeaders:
			b = append(b, " RET=HDRS"...)
		}
		if x.tx.EnvelopeID != "" {
			b = smtp.AppendXText(append(b, " ENVID="...), x.tx.EnvelopeID)
		}
	}
	x.c.buf.out = append(b, '\r', '\n')
}

func (x *exchange) putRcpt(i int) {
	x.rcpts = append(x.rcpts, i)
	r := &x.tx.Recipients[i]
	b := append(x.c.buf.out, "RCPT TO:<"...)
	b = append(append(b, r.Address...), '>')
	if x.c.offers.DSN {
		b = appendNotify(b, r.Notify)
		if r.ORcpt != "" {
			b = appendORcpt(append(b, " ORCPT="...), r.ORcpt, x.form.utf8)
		}
	}
	x.c.buf.out = append(b, '\r', '\n')
}

func appendNotify(b []byte, n mail.Notify) []byte {
	if n == 0 {
		return b
	}
	if n&mail.NotifyNever != 0 {
		return append(b, " NOTIFY=NEVER"...)
	}
	b = append(b, " NOTIFY="...)
	for _, w := range [...]struct {
		bit  mail.Notify
		word string
	}{{mail.NotifySuccess, "SUCCESS,"}, {mail.NotifyFailure, "FAILURE,"},
		{mail.NotifyDelay, "DELAY,"}} {
		if n&w.bit != 0 {
			b = append(b, w.word...)
		}
	}
	return b[:len(b)-1] // the last comma, or the "=" of an empty list, which no parser lets through
}

// appendORcpt encodes "addr-type;address": in xtext, and what lies beyond ASCII as it is under
// SMTPUTF8, as \x{HEX} else (RFC 3461 4.2, RFC 6533 section 3).
func appendORcpt(b []byte, orcpt string, wide bool) []byte {
	kind, address, _ := strings.Cut(orcpt, ";")
	b = append(smtp.AppendXText(b, kind), ';')
	if addressKind(address) != pathWide {
		return smtp.AppendXText(b, address)
	}
	for _, r := range address {
		switch {
		case r >= utf8.RuneSelf && wide:
			b = utf8.AppendRune(b, r)
		case r >= utf8.RuneSelf || r == '\\' || r == '+' || r == '=' || r <= ' ':
			b = append(append(append(b, `\x{`...),
				strings.ToUpper(strconv.FormatInt(int64(r), 16))...), '}')
		default:
			b = append(b, byte(r))
		}
	}
	return b
}

// stepwise sends and waits at once when the peer does not do PIPELINING.
func (x *exchange) stepwise() *Error {
	if x.c.offers.Pipelining {
		return nil
	}
	return x.settle()
}

// settle sends what is gathered and reads the replies that are due.
func (x *exchange) settle() *Error {
	c := x.c
	if len(c.buf.out) > 0 {
		if !c.quiet() {
			c.dead = outOfTurn(StepMail)
			return c.dead
		}
		c.arm(c.t.Mail, true)
		if err := c.write(x.first(), c.buf.out, nil); err != nil {
			return c.lastWords(x.first(), err)
		}
		c.buf.out = c.buf.out[:0]
	}
	if x.reset {
		x.reset = false
		if _, err := x.hear(StepReset, min(c.t.Reset, c.t.Mail)); err != nil {
			return err
		}
	}
	if x.mail {
		if err := x.hearMail(); err != nil {
			return err
		}
	}
	if err := x.hearRcpts(); err != nil || !x.data {
		return err
	}
	return x.hearData()
}

// first is the step whose reply is due next.
func (x *exchange) first() Step {
	switch {
	case x.reset:
		return StepReset
	case x.mail:
		return StepMail
	case len(x.rcpts) > 0:
		return StepRcpt
	}
	return StepData
}

func (x *exchange) hear(step Step, d time.Duration) (code int, _ *Error) {
	code, err := x.c.code(step, d)
	if err == nil && x.c.dead != nil { // 421
		err = x.c.dead
	}
	x.heard = x.heard || err == nil
	return code, err
}

func (x *exchange) hearMail() *Error {
	x.mail = false
	code, err := x.hear(StepMail, x.c.t.Mail)
	switch {
	case err != nil:
		return err
	case code/100 == 2:
		x.mailOK = true
	case code/100 == 3:
		return x.c.unexpected(StepMail, x.c.parser.Reply())
	default:
		x.mailSaid = x.said(StepMail)
	}
	return nil
}

func (x *exchange) hearRcpts() *Error {
	for n, i := range x.rcpts {
		code, err := x.hear(StepRcpt, x.c.t.Rcpt)
		if err == nil && code/100 == 3 {
			err = x.c.unexpected(StepRcpt, x.c.parser.Reply())
		}
		if err != nil {
			x.rcpts = x.rcpts[n:]
			return err
		}
		switch {
		case !x.mailOK: // the refusal of MAIL says why
		case code/100 == 2:
			x.results[i] = Status{Code: code, Command: StepRcpt} // until the content has its reply
			x.accepted++
		default:
			x.results[i] = x.said(StepRcpt)
			x.tooMany(&x.results[i])
		}
	}
	x.rcpts = x.rcpts[:0]
	return nil
}

// said is the peer's refusal of a step.
func (x *exchange) said(step Step) Status {
	rep := x.c.parser.Reply()
	s := theirs(step, rep)
	if s.Code == smtp.AuthRequired && x.c.o.FellBack {
		s.taken(smtp.TempAuthFailure, "4.7.0")
	}
	return s
}

// tooMany makes 552 temporary where it means that there are too many recipients in the transaction
// (RFC 5321 4.5.3.1.10).
func (x *exchange) tooMany(s *Status) {
	if s.Code == smtp.ExceededStorage && x.accepted > 0 &&
		(s.Enhanced == "5.5.3" || s.Enhanced == "5.0.0") {
		s.taken(smtp.InsufficientStorage, "4.5.3")
	}
}

func (x *exchange) hearData() *Error {
	x.data = false
	code, err := x.hear(StepData, x.c.t.DataStart)
	switch {
	case err != nil:
	case code == smtp.StartMailInput:
		x.go354 = true
	case code/100 < 4:
		err = x.c.unexpected(StepData, x.c.parser.Reply())
	default:
		x.dataSaid = x.said(StepData)
	}
	return err
}
