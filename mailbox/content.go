package mailbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// ContentReader reads a message, prefix and content, part by part: at most partSize octets of it
// are in memory. It is an io.ReadCloser and an io.WriterTo, for one goroutine. When the message is
// expunged meanwhile, reading fails.
type ContentReader struct {
	Message Message
	r       Reader
	id      contentID
	row     contentRow
	prefix  []byte
	pos     int64 // of left, in the message
	left    []byte
	buf     []byte
	pooled  bool // buf is of partBuffers
	err     error
}

// partBuffers are for the parts of large contents: a reader that rests again and again would else
// leave one behind each time.
var partBuffers = sync.Pool{New: func() any { return new([partSize]byte) }}

// pooledFrom is the size of contents, in octets, from which on their readers take a buffer of the
// pool.
const pooledFrom = 32 << 10

// OpenMessage returns a reader of a message, or ErrNoMessage. Nothing of the content is read before
// the first Read.
func (s *Store) OpenMessage(box Ref, folder uint32, uid UID) (*ContentReader, error) {
	m, err := s.Message(box, folder, uid)
	if err != nil {
		return nil, err
	}
	c := &ContentReader{Message: m}
	if c.id, c.prefix, err = body(m.rest); err != nil {
		return nil, err
	}
	c.Message.rest = nil
	v, err := s.get(appendContentKey(nil, c.id), ErrNoMessage)
	if err != nil {
		return nil, err
	}
	if c.row, err = decodeContentRow(v); err != nil {
		return nil, err
	}
	c.r, err = s.read()
	return c, err
}

var errSeek = errors.New("mailbox: seek before the start of a message")

// Seek makes the next Read begin elsewhere: a range of a message is read with it and
// io.LimitReader.
func (c *ContentReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.pos
	case io.SeekEnd:
		offset += c.Message.Size
	}
	if offset < 0 {
		return c.pos, errSeek
	}
	if c.err == io.EOF {
		c.err = nil
	}
	c.pos, c.left = offset, nil
	return offset, c.err
}

// next makes left what is at pos, up to the end of the piece that it is in.
func (c *ContentReader) next() error {
	if len(c.left) > 0 || c.err != nil {
		return c.err
	}
	at := c.pos - int64(len(c.prefix))
	switch {
	case at < 0:
		c.left = c.prefix[c.pos:]
	case at >= c.row.size:
		c.err = io.EOF
	default:
		if c.buf == nil && c.row.size >= pooledFrom {
			c.buf, c.pooled = partBuffers.Get().(*[partSize]byte)[:], true
		}
		p := c.row.part(c.id, int(at/partSize))
		c.buf, c.err = c.r.ReadPart(c.buf[:0], p.Index, p.Part)
		if c.err == nil && int64(len(c.buf)) != p.Size {
			c.err = fmt.Errorf("%d octets, want %d: %w", len(c.buf), p.Size, errCorrupt)
		}
		if c.err != nil {
			c.err = fmt.Errorf("read content of message %d: %w", c.Message.UID, c.err)
			break
		}
		c.left = c.buf[at%partSize:]
	}
	return c.err
}

// Read reads prefix and content, part by part.
func (c *ContentReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := c.next(); err != nil {
		return 0, err
	}
	n := copy(p, c.left)
	c.take(n)
	return n, nil
}

func (c *ContentReader) take(n int) { c.left, c.pos = c.left[n:], c.pos+int64(n) }

// WriteTo writes what is left, a part at a time.
func (c *ContentReader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if err := c.next(); err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n, err := w.Write(c.left)
		total += int64(n)
		c.take(n)
		if err != nil {
			return total, err
		}
	}
}

// Rest lets the memory go until the next Read: for readers that wait for somebody.
func (c *ContentReader) Rest() {
	if c.pooled && cap(c.buf) == partSize {
		partBuffers.Put((*[partSize]byte)(c.buf[:partSize]))
	}
	c.left, c.buf, c.pooled = nil, nil, false
}

// Close lets the memory go.
func (c *ContentReader) Close() error {
	c.Rest()
	c.prefix, c.err = nil, os.ErrClosed
	return nil
}

// Entry is the entry of the group's log that the content came with.
func (c *ContentReader) Entry() uint64 { return c.id.index }
