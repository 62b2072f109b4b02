// Package codec reads and writes the values of which the rows, commands and results of the
// replicated queue and mailboxes are made: unsigned varints, octets, octet strings with their
// length in front, times in milliseconds.
package codec

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrCorrupt says that an encoding cannot be read: it is damaged or of another version.
var ErrCorrupt = errors.New("corrupt or unknown encoding")

// Decoder reads an encoding front to back. After the first fault all its results are zero and OK
// is false, so that callers check once, at the end. The slices that it returns are parts of the
// encoding. A fault never causes an allocation larger than the encoding.
type Decoder struct {
	b    []byte
	pos  int
	text string // the encoding as a string, when strings are to share one allocation
	bad  bool
}

// New returns a decoder of b.
func New(b []byte) Decoder { return Decoder{b: b} }

// NewText returns a decoder of b whose strings share one allocation.
func NewText(b []byte) Decoder { return Decoder{b: b, text: string(b)} }

// OK reports whether everything was read and all of it was good.
func (d *Decoder) OK() bool { return !d.bad && d.pos == len(d.b) }

// Fail makes OK false and all further results zero.
func (d *Decoder) Fail() { d.bad = true }

// Failed reports whether there was a fault.
func (d *Decoder) Failed() bool { return d.bad }

// Left returns how many octets are left.
func (d *Decoder) Left() int { return len(d.b) - d.pos }

// Pos returns how many octets have been read, for Since.
func (d *Decoder) Pos() int { return d.pos }

// Since returns the octets read since the given position, nil after a fault.
func (d *Decoder) Since(pos int) []byte {
	if d.bad {
		return nil
	}
	return d.b[pos:d.pos:d.pos]
}

// Take reads n octets.
func (d *Decoder) Take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b)-d.pos {
		d.bad = true
		return nil
	}
	p := d.b[d.pos : d.pos+n : d.pos+n]
	d.pos += n
	return p
}

// Rest reads all octets that are left.
func (d *Decoder) Rest() []byte { return d.Take(len(d.b) - d.pos) }

// Octet reads one octet.
func (d *Decoder) Octet() byte {
	if d.bad || d.pos == len(d.b) {
		d.bad = true
		return 0
	}
	d.pos++
	return d.b[d.pos-1]
}

// Uint64 reads eight octets, big-endian.
func (d *Decoder) Uint64() uint64 {
	if p := d.Take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// Uvarint reads a varint.
func (d *Decoder) Uvarint() uint64 {
	if d.bad {
		return 0
	}
	v, n := binary.Uvarint(d.b[d.pos:])
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.pos += n
	return v
}

// Below reads a varint that must be less than limit.
func (d *Decoder) Below(limit uint64) uint64 {
	v := d.Uvarint()
	if v >= limit {
		d.bad = true
		return 0
	}
	return v
}

// Uint32 reads a varint of at most 32 bits.
func (d *Decoder) Uint32() uint32 { return uint32(d.Below(math.MaxUint32 + 1)) }

// Bit reads a varint that is 0 or 1.
func (d *Decoder) Bit() bool { return d.Below(2) == 1 }

// Millis reads a time, or a length of time or of content: a varint below 2^62.
func (d *Decoder) Millis() int64 { return int64(d.Below(1 << 62)) }

// Count reads how many elements follow, each of at least size octets.
func (d *Decoder) Count(size int) int {
	return int(d.Below(uint64(d.Left()/size) + 1))
}

// Bytes reads an octet string.
func (d *Decoder) Bytes() []byte { return d.Take(d.Count(1)) }

// String reads an octet string.
func (d *Decoder) String() string {
	n := d.Count(1)
	at := d.pos
	p := d.Take(n)
	if d.text != "" && !d.bad {
		return d.text[at : at+n]
	}
	return string(p)
}
