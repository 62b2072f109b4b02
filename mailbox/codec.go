package mailbox

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// formatVersion is the first octet of every row, command and result. A reader that meets another
// one stops.
const formatVersion = 1

var errCorrupt = errors.New("mailbox: corrupt or unknown encoding")

// decoder reads an encoding front to back. After the first fault all its results are zero and bad
// is set, so that the callers check once, at the end. Slices it gives are parts of b.
type decoder struct {
	b   []byte
	bad bool
}

// done reports an error unless all was read and all of it was good.
func (d *decoder) done() error {
	if d.bad || len(d.b) > 0 {
		return errCorrupt
	}
	return nil
}

// fail makes all further results zero.
func (d *decoder) fail() { d.bad, d.b = true, nil }

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail()
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) u8() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// below reads a number that must be less than limit.
func (d *decoder) below(limit uint64) uint64 {
	v := d.uvarint()
	if v >= limit {
		d.fail()
		return 0
	}
	return v
}

func (d *decoder) u32() uint32   { return uint32(d.below(1 << 32)) }
func (d *decoder) millis() int64 { return int64(d.below(1 << 62)) }
func (d *decoder) bit() bool     { return d.below(2) == 1 }
func (d *decoder) flags() Flags  { return Flags(d.below(uint64(allFlags) + 1)) }

// count reads how many elements follow, each of at least size octets: no allocation is larger than
// the input warrants.
func (d *decoder) count(size int) int {
	return int(d.below(uint64(len(d.b)/size) + 1))
}

func (d *decoder) bytes() []byte { return d.take(d.count(1)) }

// text reads a name of at least one and at most most octets.
func (d *decoder) text(most int) []byte {
	p := d.bytes()
	if len(p) == 0 || len(p) > most {
		d.fail()
	}
	return p
}

func (d *decoder) id() (id mail.ID) {
	copy(id[:], d.take(len(id)))
	return id
}

func (d *decoder) version() {
	if d.u8() != formatVersion {
		d.fail()
	}
}

// uids reads ascending UIDs and appends them.
func (d *decoder) uids(into []UID) []UID {
	next := uint64(0)
	for n := d.count(1); n > 0 && !d.bad; n-- {
		uid := next + d.below(1<<32)
		if uid >= 1<<32 {
			d.fail()
			break
		}
		into, next = append(into, UID(uid)), uid+1
	}
	return into
}

func appendUIDs(b []byte, uids []UID) []byte {
	b = binary.AppendUvarint(b, uint64(len(uids)))
	next := uint64(0)
	for _, uid := range uids {
		b = binary.AppendUvarint(b, uint64(uid)-next)
		next = uint64(uid) + 1
	}
	return b
}

func appendBytes[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// Times are stored as milliseconds since 1970, 0 being the zero time.
func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixMilli(), 0)
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
