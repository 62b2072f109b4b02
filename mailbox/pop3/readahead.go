package pop3

import (
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// places are how many sessions do what takes memory. Safe for use by several goroutines.
type places struct{ taken atomic.Int32 }

// take takes one of so many places, if there is one left.
func (p *places) take(most int32) bool {
	if p.taken.Add(1) <= most {
		return true
	}
	p.taken.Add(-1)
	return false
}

func (p *places) give() { p.taken.Add(-1) }

const (
	// maxReaders is how many sessions may have messages that were read ahead, 60 KiB each.
	maxReaders = 256
	// aheadFor is for how long messages are read ahead, while the client waits for the first.
	aheadFor = 20 * time.Millisecond
)

// readAhead holds messages that were read ahead. It belongs to the loop.
type readAhead struct {
	buf  *[pieceSize]byte // nil: there are none
	list []read
}

// read is one of them: its octets in the buffer.
type read struct {
	uid      mailbox.UID
	from, to int
}

// readAhead reads messages behind the first octets of buf, as many as there is time for.
func (c *content) readAhead(
	s *Server, box mailbox.Ref, pieces []Piece, buf *[pieceSize]byte, from int,
) (list []read) {
	start := time.Now()
	for _, p := range pieces {
		if time.Since(start) > aheadFor ||
			c.read(s, box, p, buf[from:]) != nil { // it is read again when it is asked for
			break
		}
		list = append(list, read{p.UID, from, from + p.Length})
		from += p.Length
	}
	return list
}

// put keeps what was read, in a place that the session has taken.
func (a *readAhead) put(s *Server, buf *[pieceSize]byte, list []read) {
	a.buf, a.list = buf, list
	a.tidy(s)
}

// take returns the piece if it was read ahead. It is valid until tidy. The client who asks for
// another one has other plans: then all goes.
func (a *readAhead) take(s *Server, p Piece) []byte {
	if a.buf == nil {
		return nil
	}
	if r := a.list; len(r) > 0 && r[0].uid == p.UID && p.Offset == 0 && p.Last {
		a.list = r[1:]
		return a.buf[r[0].from:r[0].to]
	}
	a.release(s)
	return nil
}

// tidy gives the buffer back when everything was taken.
func (a *readAhead) tidy(s *Server) {
	if a.buf != nil && len(a.list) == 0 {
		a.release(s)
	}
}

func (a *readAhead) release(s *Server) {
	if a.buf != nil {
		pieces.Put(a.buf)
		a.buf, a.list = nil, nil
		s.readers.give()
	}
}
