package pop3

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// content is the message that a session is reading, kept open from piece to piece. It belongs to the worker that reads, and to the loop between two pieces.
type content struct {
	r      io.ReadCloser // nil: none is open
	cancel context.CancelFunc
	uid    mailbox.UID
	at     int64 // where r stands
}

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// read reads a piece of a message, all of it or an error, within limit.
func (c *content) read(m Maildrops, box mailbox.Ref, p Piece, buf []byte, limit time.Duration) error {
	if c.r != nil && (c.uid != p.UID || c.at != p.Offset) {
		c.close()
	}
	err := c.readWithin(m, box, p, buf, limit)
	if err != nil || p.Last {
		c.close()
	}
	return err
}

func (c *content) readWithin(m Maildrops, box mailbox.Ref, p Piece, buf []byte, limit time.Duration) (err error) {
	ctx := context.Background()
	if c.r == nil {
		ctx, c.cancel = context.WithCancel(ctx)
	}
	defer time.AfterFunc(limit, c.cancel).Stop()
	if c.r == nil {
		if c.r, _, err = m.Open(ctx, box, mailbox.Inbox, p.UID); err != nil {
			c.r = nil
			return err
		}
		c.uid = p.UID
		if err := skip(c.r, p.Offset); err != nil {
			return err
		}
	}
	n, err := io.ReadFull(c.r, buf[:p.Length])
	c.at = p.Offset + int64(n)
	return err
}

// skip makes r stand at offset.
func skip(r io.Reader, offset int64) error {
	if offset == 0 {
		return nil
	}
	if s, ok := r.(io.Seeker); ok {
		_, err := s.Seek(offset, io.SeekStart)
		return err
	}
	_, err := io.CopyN(io.Discard, r, offset)
	return err
}

// rest closes a reader that can be opened anew where it stands: a client that is slow to read costs the piece on its way, not what the store has read
// ahead.
func (c *content) rest() {
	if _, ok := c.r.(io.Seeker); ok {
		c.close()
	}
}

// close lets the message go.
func (c *content) close() {
	if c.cancel != nil {
		c.cancel()
		c.cancel = nil
	}
	if c.r != nil {
		_ = c.r.Close() // it was only read from
		c.r = nil
	}
}
