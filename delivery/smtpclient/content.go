package smtpclient

import (
	"errors"
	"strconv"
)

const (
	// segment is how much is written under one DataBlock deadline.
	segment = 256 << 10
	// shortSegment is what may be written under the deadline of the commands before it.
	shortSegment = 8 << 10
)

// content ends the transaction after its envelope: with the content for the recipients that were
// accepted, or without it.
func (x *exchange) content() *Error {
	switch {
	case x.mailSaid.Code != 0:
		x.spread(x.mailSaid)
		return x.nothing()
	case x.accepted == 0:
		x.c.needReset = !x.go354
		return x.nothing()
	case x.form.bdat:
		return x.end(x.bdat())
	case !x.go354:
		x.spread(x.dataSaid)
		x.c.needReset = true
		return nil
	}
	if !x.c.quiet() { // a reply too many would be taken for the one to the content
		x.c.dead = outOfTurn(StepData)
		return x.c.dead
	}
	return x.end(x.mailData())
}

// nothing ends a data phase that the peer began although it took no recipient (RFC 2920 section
// 3.1): with a lone dot.
func (x *exchange) nothing() *Error {
	if !x.go354 {
		return nil
	}
	if x.c.o.LMTP { // RFC 2033 4.2 wants 503 there, for who would answer the dot?
		return x.c.broken(StepData, errNobody)
	}
	if _, err := x.c.command(StepEnd, x.c.t.DataEnd, "."); err != nil {
		return err
	}
	return nil
}

// spread gives s to all recipients without a final status: those accepted and those not yet
// answered.
func (x *exchange) spread(s Status) {
	for i := range x.results {
		if r := &x.results[i]; r.Code == 0 || r.Code/100 == 2 && r.Command == StepRcpt {
			*r = s
		}
	}
}

// end reads the reply to the content. From here on a lost connection leaves the outcome open.
func (x *exchange) end(sent *Error) *Error {
	if sent != nil {
		return x.c.lastWords(StepContent, sent)
	}
	if x.c.o.LMTP {
		return x.endEach()
	}
	said, err := x.verdict()
	if err == nil {
		x.spread(said)
	}
	return err
}

// verdict reads one reply to the content. When there is none, the outcome is open for all
// recipients that have none yet.
func (x *exchange) verdict() (Status, *Error) {
	rep, err := x.c.reply(StepEnd, x.c.t.DataEnd)
	if err == nil && rep.Class() == 3 {
		err = x.c.unexpected(StepEnd, rep)
	}
	if err != nil {
		s := err.Status
		s.Unknown = true
		x.spread(s)
		return s, err
	}
	if x.form.bdat && rep.Class() != 2 {
		x.c.needReset = true // RFC 3030 section 2
	}
	return theirs(StepEnd, rep), nil
}

var errNobody = errors.New("mail data is wanted although no recipient was accepted")

// endEach reads the replies to the content, one for each recipient that was accepted, in the order
// of RCPT (RFC 2033 4.2).
func (x *exchange) endEach() (err *Error) {
	for i := range x.results {
		r := &x.results[i]
		if r.Code/100 != 2 || r.Command != StepRcpt {
			continue
		}
		if *r, err = x.verdict(); err != nil {
			return err
		}
	}
	return nil
}

// mailData sends the content after 354, dot-stuffed, and the end of mail data (RFC 5321 4.5.2).
func (x *exchange) mailData() *Error { return x.pass(true) }

// bdat sends the content in one chunk (RFC 3030).
func (x *exchange) bdat() *Error {
	b := strconv.AppendInt(append(x.c.buf.out[:0], "BDAT "...), x.tx.size(), 10)
	x.c.buf.out = append(b, " LAST\r\n"...)
	if x.tx.Content != nil && len(x.tx.Content) <= segment {
		return x.last(x.c.buf.out, x.tx.Content)
	}
	if err := x.some(x.c.buf.out); err != nil {
		return err
	}
	return x.pass(false)
}

// some writes a part of the content that is not the last.
func (x *exchange) some(p []byte) *Error {
	x.c.arm(x.c.t.DataBlock, true)
	return x.c.write(StepContent, p, nil)
}

var errAborted = errors.New("the transaction was called off before its end")

// last asks whether the message may still be sent, and writes the final segment.
func (x *exchange) last(a, b []byte) *Error {
	// The deadline that a short message finds in force (that of the commands) will do. It is set
	// before the check: nothing must come between that and the segment.
	x.c.arm(x.c.t.DataBlock, len(a) > shortSegment)
	if x.tx.BeforeEnd != nil {
		if err := x.tx.BeforeEnd(); err != nil {
			x.aborted = true
			x.c.dead = &Error{Status: ours(StepContent, 451, "4.3.0", "Not sent: "+err.Error()),
				Cause: errors.Join(errAborted, err)}
			return x.c.dead
		}
	}
	return x.c.write(StepContent, a, b)
}

// giveUp ends the connection in the middle of the content, the only way to take it back.
func (x *exchange) giveUp(err error) *Error {
	x.c.dead = &Error{Status: *unreadable(err), Cause: err}
	return x.c.dead
}
