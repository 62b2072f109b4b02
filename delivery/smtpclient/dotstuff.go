package smtpclient

import (
	"fmt"
	"io"
	"sync"

	"github.com/postroad/postroad/internal/smtp"
)

// blockSize is how much of a content that needs dot-stuffing is copied at once.
const blockSize = 16 << 10

// block is what a large content passes through when it needs dot-stuffing or comes from a reader
// that has no parts.
type block struct {
	in   [blockSize]byte
	out  []byte  // twice in, at worst
	tail [5]byte // the end of mail data
	r    io.Reader
}

// partReader is what a content from the store has besides Read: Next hands out the next part,
// without a copy. The part is valid until the next one; io.EOF leaves it as it is.
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

// dotStuffer is a content on its way to the wire. What can go as it is goes from where it lies.
type dotStuffer struct {
	x     *exchange
	block *block
	stuff bool
	dots  smtp.DotStuffer
}

// pass sends the content, its last piece together with the end of mail data if it has one.
func (x *exchange) pass(stuff bool) *Error {
	p := dotStuffer{x: x, block: blockPool.Get().(*block), stuff: stuff}
	defer p.block.free()
	if x.tx.Content != nil || x.tx.Open == nil {
		return p.send(x.tx.Content, p.end)
	}
	r, err := x.tx.Open()
	if err != nil {
		return x.giveUp(err)
	}
	defer r.Close()
	return p.fromStore(p.block.parts(r))
}

// fromStore sends what r gives, part by part. Content that is shorter or longer than it should be
// is never ended: the peer must not take it for the message.
func (p *dotStuffer) fromStore(r partReader) *Error {
	size := p.x.tx.size()
	for total := int64(0); total < size; {
		part, err := r.Next()
		if total += int64(len(part)); err == io.EOF || total > size {
			return p.x.giveUp(fmt.Errorf("the content does not have %d octets", size))
		}
		if err != nil {
			return p.x.giveUp(err)
		}
		if total < size {
			if err := p.send(part, p.x.some); err != nil {
				return err
			}
			continue
		}
		if more, err := r.Next(); len(more) > 0 {
			return p.x.giveUp(fmt.Errorf("the content has more than %d octets", size))
		} else if err != io.EOF {
			return p.x.giveUp(err)
		}
		return p.send(part, p.end)
	}
	return p.end(nil)
}

// send sends a part, its last piece by means of last.
func (p *dotStuffer) send(part []byte, last func([]byte) *Error) *Error {
	for {
		piece, rest := p.next(part)
		if len(rest) == 0 {
			return last(piece)
		}
		if err := p.x.some(piece); err != nil {
			return err
		}
		part = rest
	}
}

// next takes the next piece off part: as it lies there, or a stuffed copy of a few octets.
func (p *dotStuffer) next(part []byte) (piece, rest []byte) {
	n := min(len(part), segment)
	if !p.stuff {
		return part[:n], part[n:]
	}
	m := p.dots.Pass(part[:n])
	if m == n || m >= blockSize {
		return part[:m], part[m:]
	}
	n = min(n, blockSize)
	return p.dots.Append(append(p.block.out[:0], part[:m]...), part[m:n]), part[n:]
}

// end writes the last piece of the content.
func (p *dotStuffer) end(piece []byte) *Error {
	if !p.stuff {
		return p.x.last(piece, nil)
	}
	return p.x.last(piece, p.dots.Finish(p.block.tail[:0]))
}
