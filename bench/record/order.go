package record

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// place is when and where a message was sent, for the order.
type place struct {
	conn         uint32
	begun, ended int64 // microseconds
}

// sequence looks whether messages arrive in the order in which they were sent. Further copies have
// no order.
type sequence struct {
	c      *checker
	by     Order
	conns  map[uint32]int32 // connection: the latest slot that has arrived
	begins map[uint64]int64 // recipient: the latest begin of what has arrived
}

func newSequence(by Order, c *checker) *sequence {
	return &sequence{c: c, by: by, conns: map[uint32]int32{}, begins: map[uint64]int64{}}
}

// next takes what arrived next.
func (s *sequence) next(at int32, r *Received, recipient string) {
	late := ""
	switch s.by {
	case NoOrder:
		return
	case ByConnection: // slots are in the order of each connection
		conn := s.c.order[at].conn
		if last, known := s.conns[conn]; known && last > at {
			late = fmt.Sprintf("a later message of connection %d arrived before it", conn)
		} else {
			s.conns[conn] = at
		}
	case ByRecipient:
		k, p := maphash.String(s.c.seeds[0], strings.ToLower(recipient)), s.c.order[at]
		last, known := s.begins[k]
		if known && p.ended < last {
			late = "a message that began after this was acknowledged arrived before it"
		}
		if !known || p.begun > last {
			s.begins[k] = p.begun
		}
	}
	if late != "" {
		s.c.r.Reordered.add(Finding{ID: r.ID, Recipient: recipient, Why: late,
			Copies: []Copy{copyOf(r)}})
	}
}
