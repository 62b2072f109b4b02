package mail

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// ID names a message for ever: 44 bits of milliseconds since 1970, 16 bits of the accepting
// member's number, 20 bits of sequence. It sorts by time, as bytes and as text, and is never
// reused: a member number is never given twice, and a member's generator starts above the last time
// its state has seen.
type ID [10]byte

// IDLen is the length of an ID's text form in octets.
const IDLen = 16

// Crockford's base 32 in lower case: no letter differs from another in case alone, and it sorts as
// its bits do.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// String returns the 16 characters that users see.
func (id ID) String() string { b := id.AppendTo(make([]byte, 0, IDLen)); return string(b) }

// AppendTo appends the text form to b.
func (id ID) AppendTo(b []byte) []byte {
	hi := binary.BigEndian.Uint64(id[:8]) // the first 64 of 80 bits
	lo := uint64(id[8])<<8 | uint64(id[9])
	for s := 59; s >= 4; s -= 5 {
		b = append(b, idAlphabet[hi>>uint(s)&31])
	}
	rest := (hi&15)<<16 | lo // the last 20 bits
	for s := 15; s >= 0; s -= 5 {
		b = append(b, idAlphabet[rest>>uint(s)&31])
	}
	return b
}

// IsZero reports whether id is the zero ID, which names no message.
func (id ID) IsZero() bool { return id == ID{} }

// Time returns the command time of the message's acceptance, to the millisecond.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 20))
}

var errBadID = errors.New("not a message ID: want 16 characters of 0-9 and a-z without i, l, o, u")

// ParseID reads the text form, in either case.
func ParseID(s string) (id ID, err error) {
	if len(s) != IDLen {
		return ID{}, errBadID
	}
	var hi, lo uint64
	for i := 0; i < IDLen; i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		v := idIndex[c]
		if v < 0 {
			return ID{}, errBadID
		}
		if i < 12 {
			hi = hi<<5 | uint64(v)
		} else {
			lo = lo<<5 | uint64(v)
		}
	}
	binary.BigEndian.PutUint64(id[:8], hi<<4|lo>>16)
	id[8], id[9] = byte(lo>>8), byte(lo)
	return id, nil
}

var idIndex = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i := 0; i < len(idAlphabet); i++ {
		t[idAlphabet[i]] = int8(i)
	}
	return
}()

// IDs makes IDs for one member. Safe for use by several goroutines.
type IDs struct {
	member uint16
	mu     struct {
		sync.Mutex
		milli uint64
		seq   uint32
	}
}

// NewIDs returns a generator whose IDs are all above floor, the newest command time in the member's
// state.
func NewIDs(member uint16, floor time.Time) *IDs {
	g := &IDs{member: member}
	if ms := floor.UnixMilli(); ms > 0 {
		g.mu.milli = uint64(ms) + 1
	}
	return g
}

// Next returns a new ID for a message accepted at now. When now lies before the last ID's time the
// last time is used again, so that IDs never run backwards.
func (g *IDs) Next(now time.Time) (id ID) {
	g.mu.Lock()
	if ms := uint64(max(now.UnixMilli(), 0)); ms > g.mu.milli {
		g.mu.milli, g.mu.seq = ms, 0
	} else if g.mu.seq++; g.mu.seq == 1<<20 {
		g.mu.milli, g.mu.seq = g.mu.milli+1, 0
	}
	ms, seq := g.mu.milli, g.mu.seq
	g.mu.Unlock()
	// 44 bits of time and the upper 12+4 bits of member make 60 of the first 64 bits; 4 of seq
	// follow.
	binary.BigEndian.PutUint64(id[:8], ms<<20|uint64(g.member)<<4|uint64(seq>>16))
	id[8], id[9] = byte(seq>>8), byte(seq)
	return id
}

// FloorID returns the least ID of the given time; IDs of earlier messages sort before it.
func FloorID(at time.Time) (id ID) {
	binary.BigEndian.PutUint64(id[:8], uint64(max(at.UnixMilli(), 0))<<20)
	return id
}
