package pop3

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// maxKeeping is how many sessions may keep what their readers have read ahead (512 KiB) from piece
// to piece. The others' read it again for each piece: that costs some 100 us a piece, and no
// memory.
const maxKeeping = 8

// content is the message that a session is reading, kept open from piece to piece. It belongs to
// the worker that reads, and to the loop between two pieces.
type content struct {
	r      io.ReadCloser // stands at the next piece; nil: none is open
	cancel context.CancelFunc
	ahead  bool // it keeps what it has read ahead from piece to piece
}

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// read reads the next piece of a message, all of it or an error.
func (c *content) read(s *Server, box mailbox.Ref, p Piece, buf []byte) error {
	err := c.readWithin(s.Maildrops, box, p, buf, s.limits.Load().CallTimeout)
	switch {
	case err != nil || p.Last:
		c.close(s)
	case !c.ahead && !c.keep(s):
		c.rest(s)
	}
	return err
}

// keep reports whether the reader may keep what it has read ahead.
func (c *content) keep(s *Server) bool {
	c.ahead = s.keeping.take(maxKeeping)
	return c.ahead
}

func (c *content) keepNot(s *Server) {
	if c.ahead {
		c.ahead = false
		s.keeping.give()
	}
}

func (c *content) readWithin(
	m Maildrops, box mailbox.Ref, p Piece, buf []byte, limit time.Duration,
) (err error) {
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
	}
	_, err = io.ReadFull(c.r, buf[:p.Length])
	return err
}

// rest has the reader let go of what it has read ahead: a client that is slow to read costs the
// piece on its way, and no more.
func (c *content) rest(s *Server) {
	c.keepNot(s)
	if r, ok := c.r.(interface{ Rest() }); ok {
		r.Rest()
	}
}

// close lets the message go.
func (c *content) close(s *Server) {
	c.keepNot(s)
	if c.cancel != nil {
		c.cancel()
		c.cancel = nil
	}
	if c.r != nil {
		_ = c.r.Close() // it was only read from
		c.r = nil
	}
}
