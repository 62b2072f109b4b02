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

// blockSize is how much of a content that needs dot-stuffing is copied at once.
const blockSize = 16 << 10

// block is what a large content passes through when it needs dot-stuffing or comes from a reader that has no parts.
type block struct {
	in   [blockSize]byte
	out  []byte  // twice in, at worst
	tail [5]byte // the end of mail data
	r    io.Reader
}

// partReader is what a content from the store has besides Read: Next hands out the next part, without a copy. The part is valid until the next one;
// io.EOF leaves it as it is.
type partReader interface{ Next() ([]byte, error) }

// parts returns r's parts, or makes some.
func (b *block) parts(r io.Reader) partReader {
	if p, ok := r.(partReader); ok {
		return p
	}
	b.r = r
	return b
}

func (b *block) free() {
	b.r = nil
	blockPool.Put(b)
}

func (b *block) Next() ([]byte, error) {
	n, err := io.ReadFull(b.r, b.in[:])
	if err == io.ErrUnexpectedEOF {
		err = nil
	}
	return b.in[:n], err
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
	case smtp.Clean(content):
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

// pass sends what r gives, part by part, the last one together with the end of mail data. Content that is shorter or longer than it
// should be is never ended: the peer must not take it for the message.
func (x *exchange) pass(r io.Reader, stuff bool) *Error {
	b := blockPool.Get().(*block)
	defer b.free()
	parts, size := b.parts(r), x.tx.size()
	p := passage{x: x, block: b, stuff: stuff}
	for total := int64(0); total < size; {
		part, err := parts.Next()
		if total += int64(len(part)); err == io.EOF || total > size {
			return x.giveUp(fmt.Errorf("the content does not have %d octets", size))
		}
		if err != nil {
			return x.giveUp(err)
		}
		if total < size {
			if err := p.send(part, x.some); err != nil {
				return err
			}
			continue
		}
		if more, err := parts.Next(); len(more) > 0 {
			return x.giveUp(fmt.Errorf("the content has more than %d octets", size))
		} else if err != io.EOF {
			return x.giveUp(err)
		}
		return p.send(part, p.end)
	}
	return p.end(nil)
}

// passage is a content on its way to the wire.
type passage struct {
	x     *exchange
	block *block
	stuff bool
	dots  smtp.DotStuffer
}

// send sends a part, its last piece by means of last. What can go as it is goes from where it lies.
func (p *passage) send(part []byte, last func([]byte) *Error) *Error {
	for {
		piece := part
		if p.stuff {
			piece, part = p.next(part)
		} else {
			part = nil
		}
		if len(part) == 0 {
			return last(piece)
		}
		if err := p.x.some(piece); err != nil {
			return err
		}
	}
}

// next takes the next piece off part: as it lies there, or a stuffed copy of a few octets.
func (p *passage) next(part []byte) (piece, rest []byte) {
	n := p.dots.Pass(part)
	if n == len(part) || n >= blockSize {
		return part[:n], part[n:]
	}
	m := min(len(part), blockSize)
	return p.dots.Append(append(p.block.out[:0], part[:n]...), part[n:m]), part[m:]
}

// end writes the last piece of the content.
func (p *passage) end(piece []byte) *Error {
	if !p.stuff {
		return p.x.last(piece, nil)
	}
	return p.x.last(piece, p.dots.Finish(p.block.tail[:0]))
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
