package queue

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue/machine"
)

// ContentReader reads a message's content part by part: at most PartSize octets of it are in
// memory. It is an io.ReadCloser and an io.WriterTo, for one goroutine.
type ContentReader struct {
	r     Reader
	id    mail.ID
	parts []PartRef
	left  []byte
	buf   *partBuffer // lent from the first part to Close
	err   error
}

type partBuffer struct{ b []byte }

// partBuffers keeps buffers of readers that are closed: a new one for each large message would be
// cleared and collected for nothing.
var partBuffers = sync.Pool{New: func() any { return new(partBuffer) }}

// OpenContent returns a reader of m's content. Nothing is read before the first Read.
func (q *Queue) OpenContent(m *Message) *ContentReader {
	r, err := q.read()
	return &ContentReader{r: r, id: m.ID, parts: m.Parts, err: err}
}

// Next returns what is left of the present part, or else the next part. It is valid until the next
// call, but io.EOF leaves it as it is.
func (c *ContentReader) Next() (part []byte, err error) {
	if err := c.next(); err != nil {
		return nil, err
	}
	part, c.left = c.left, nil
	return part, nil
}

// next makes left the next part.
func (c *ContentReader) next() error {
	for len(c.left) == 0 && c.err == nil {
		if len(c.parts) == 0 {
			c.err = io.EOF
			break
		}
		if c.buf == nil {
			c.buf = partBuffers.Get().(*partBuffer)
		}
		p := c.parts[0]
		c.parts = c.parts[1:]
		b, err := c.r.ReadPart(c.buf.b[:0], p.Index, p.Part)
		if err == nil && int64(len(b)) != p.Size {
			err = fmt.Errorf("%d octets, want %d: %w", len(b), p.Size, machine.ErrCorrupt)
		}
		if err != nil {
			c.err = fmt.Errorf("read content of %v: %w", c.id, err)
			break
		}
		c.buf.b, c.left = b, b
	}
	return c.err
}

// Read reads the content, part by part.
func (c *ContentReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := c.next(); err != nil {
		return 0, err
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

// WriteTo writes what is left, a part at a time.
func (c *ContentReader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if err := c.next(); err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n, err := w.Write(c.left)
		total, c.left = total+int64(n), c.left[n:]
		if err != nil {
			return total, err
		}
	}
}

// Close lets the memory go.
func (c *ContentReader) Close() error {
	if c.buf != nil {
		partBuffers.Put(c.buf)
	}
	c.parts, c.left, c.buf, c.err = nil, nil, nil, os.ErrClosed
	return nil
}
