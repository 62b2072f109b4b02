package queue

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/postroad/postroad/internal/mail"
)

// ContentReader reads a message's content part by part: at most partSize octets of it are in memory. It is an io.ReadCloser and an
// io.WriterTo, for one goroutine.
type ContentReader struct {
	r     Reader
	id    mail.ID
	parts []PartRef
	left  []byte
	buf   []byte
	err   error
}

// OpenContent returns a reader of m's content. Nothing is read before the first Read.
func (q *Queue) OpenContent(m *Message) *ContentReader {
	r, err := q.read()
	return &ContentReader{r: r, id: m.ID, parts: m.Parts, err: err}
}

// next makes left the next part.
func (c *ContentReader) next() error {
	for len(c.left) == 0 && c.err == nil {
		if len(c.parts) == 0 {
			c.err = io.EOF
			break
		}
		p := c.parts[0]
		c.parts = c.parts[1:]
		b, err := c.r.ReadPart(c.buf[:0], p.Index, p.Part)
		if err == nil && int64(len(b)) != p.Size {
			err = fmt.Errorf("%d octets, want %d: %w", len(b), p.Size, errCorrupt)
		}
		if err != nil {
			c.err = fmt.Errorf("read content of %v: %w", c.id, err)
			break
		}
		c.buf, c.left = b, b
	}
	return c.err
}

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
	if !errors.Is(c.err, os.ErrClosed) {
		c.parts, c.left, c.buf, c.err = nil, nil, nil, os.ErrClosed
	}
	return nil
}
