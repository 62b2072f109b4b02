package smtpclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/postroad/postroad/internal/smtp"
)

const (
	// segment is how much is written under one DataBlock deadline.
	segment = 256 << 10
	// smallStuffed is the content up to which dot-stuffing uses the connection's own buffer.
	smallStuffed = 8 << 10
)

// block is what a large content passes through when it is read from the store or needs dot-stuffing.
type block struct {
	in  [16 << 10]byte
	out []byte // twice in, at worst, and the end of mail data
}

var blockPool = sync.Pool{New: func() any { return &block{out: make([]byte, 0, 33<<10)} }}

var (
	endOfData   = []byte(".\r\n")
	endLastLine = []byte("\r\n.\r\n")
)

// content ends the transaction after its envelope: with the content for the recipients that were accepted, or without it.
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

// nothing ends a data phase that the peer began although it took no recipient (RFC 2920 section 3.1): with a lone dot.
func (x *exchange) nothing() *Error {
	if !x.go354 {
		return nil
	}
	if _, err := x.c.command(StepEnd, x.c.t.DataEnd, "."); err != nil {
		return err
	}
	return nil
}

// spread gives s to all recipients without a final status: those accepted and those not yet answered.
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
	rep, err := x.c.reply(StepEnd, x.c.t.DataEnd)
	if err == nil && rep.Class() == 3 {
		err = x.c.unexpected(StepEnd, rep)
	}
	if err != nil {
		s := err.Status
		s.Unknown = true
		x.spread(s)
		return err
	}
	x.spread(theirs(StepEnd, rep))
	if x.form.bdat && rep.Class() != 2 {
		x.c.needReset = true // RFC 3030 section 2
	}
	return nil
}

// mailData sends the content after 354, dot-stuffed, and the end of mail data (RFC 5321 4.5.2).
func (x *exchange) mailData() *Error {
	content := x.tx.Content
	switch {
	case content == nil && x.tx.Open != nil:
		return x.fromStore(true)
	case isClean(content):
		end := endLastLine
		if len(content) == 0 || content[len(content)-1] == '\n' {
			end = endOfData
		}
		return x.fromMemory(content, end)
	case len(content) <= smallStuffed:
		var st smtp.DotStuffer
		x.c.buf.out = st.Finish(st.Append(x.c.buf.out[:0], content))
		return x.last(x.c.buf.out, nil)
	}
	return x.pass(bytes.NewReader(content), true)
}

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
	if x.tx.Content != nil {
		return x.fromMemory(x.tx.Content, nil)
	}
	return x.fromStore(false)
}

// fromMemory sends content that can go as it is, without a copy.
func (x *exchange) fromMemory(content, end []byte) *Error {
	for len(content) > segment {
		if err := x.some(content[:segment]); err != nil {
			return err
		}
		content = content[segment:]
	}
	return x.last(content, end)
}

func (x *exchange) fromStore(stuff bool) *Error {
	r, err := x.tx.Open()
	if err != nil {
		return x.giveUp(err)
	}
	defer r.Close()
	return x.pass(r, stuff)
}

// pass sends what r gives, block by block, the last one together with the end of mail data. Content that is shorter or longer than it
// should be is never ended: the peer must not take it for the message.
func (x *exchange) pass(r io.Reader, stuff bool) *Error {
	b := blockPool.Get().(*block)
	defer blockPool.Put(b)
	var st smtp.DotStuffer
	out, total := b.out[:0], int64(0)
	for {
		n, err := io.ReadFull(r, b.in[:])
		ended := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !ended {
			return x.giveUp(err)
		}
		if n > 0 && len(out) > 0 {
			if err := x.some(out); err != nil {
				return err
			}
			out = b.out[:0]
		}
		if total += int64(n); stuff {
			out = st.Append(out, b.in[:n])
		} else {
			out = append(out, b.in[:n]...)
		}
		if size := x.tx.size(); total > size || ended && total != size {
			return x.giveUp(fmt.Errorf("the content has %d octets or more, not %d", total, size))
		}
		if ended && stuff {
			out = st.Finish(out)
		}
		if ended {
			return x.last(out, nil)
		}
	}
}

// some writes a part of the content that is not the last.
func (x *exchange) some(p []byte) *Error {
	x.c.arm(x.c.t.DataBlock, true)
	return x.c.write(StepContent, p, nil)
}

var errAborted = errors.New("the transaction was called off before its end")

// last asks whether the message may still be sent, and writes the final segment.
func (x *exchange) last(a, b []byte) *Error {
	// The deadline that a short message finds in force (that of the commands) will do. It is set before the check:
	// nothing must come between that and the segment.
	x.c.arm(x.c.t.DataBlock, len(a) > smallStuffed)
	if x.tx.BeforeEnd != nil {
		if err := x.tx.BeforeEnd(); err != nil {
			x.aborted = true
			x.c.dead = &Error{Status: ours(StepContent, 451, "4.3.0", "Not sent: "+err.Error()), Cause: errors.Join(errAborted, err)}
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

// isClean reports whether content can go as it is: lines end with CRLF, none begins with a dot, no CR or LF stands alone.
func isClean(content []byte) bool {
	if len(content) > 0 && content[0] == '.' {
		return false
	}
	lines, p := 0, content
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		if i == 0 || p[i-1] != '\r' || i+1 < len(p) && p[i+1] == '.' {
			return false
		}
		lines++
		p = p[i+1:]
	}
	return bytes.Count(content, []byte{'\r'}) == lines
}
