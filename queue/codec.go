package queue

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/postroad/postroad/internal/mail"
)

// formatVersion is the first octet of every row and command. A reader that meets another one stops.
const formatVersion = 1

var errCorrupt = errors.New("queue: corrupt or unknown encoding")

// decoder reads an encoding front to back. After the first fault all its results are zero and ok is
// false, so that the callers check once, at the end. Slices it gives are parts of b.
type decoder struct {
	b    []byte
	pos  int
	text string // b as a string, when the caller wants strings that share one allocation
	bad  bool
}

func (d *decoder) rest() int { return len(d.b) - d.pos }

// done reports an error unless all was read and all of it was good.
func (d *decoder) done() error {
	if d.bad || d.pos != len(d.b) {
		return errCorrupt
	}
	return nil
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > d.rest() {
		d.bad = true
		return nil
	}
	p := d.b[d.pos : d.pos+n : d.pos+n]
	d.pos += n
	return p
}

func (d *decoder) u8() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if p := d.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
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

// below reads a number that must be less than limit.
func (d *decoder) below(limit uint64) uint64 {
	v := d.uvarint()
	if v >= limit {
		d.bad = true
		return 0
	}
	return v
}

// count reads how many elements follow, each of at least size octets: no allocation is larger than
// the input warrants.
func (d *decoder) count(size int) int {
	return int(d.below(uint64(d.rest()/size) + 1))
}

func (d *decoder) bytes() []byte { return d.take(d.count(1)) }

func (d *decoder) str() string {
	n := d.count(1)
	at := d.pos
	p := d.take(n)
	if d.text != "" && !d.bad {
		return d.text[at : at+n]
	}
	return string(p)
}

func (d *decoder) id() (id mail.ID) {
	copy(id[:], d.take(len(id)))
	return id
}

func (d *decoder) version() {
	if d.u8() != formatVersion {
		d.bad = true
	}
}

func (d *decoder) millis() int64 { return int64(d.below(1 << 62)) }

func (d *decoder) addr() (a netip.Addr) {
	if p := d.bytes(); len(p) > 0 {
		var ok bool
		if a, ok = netip.AddrFromSlice(p); !ok {
			d.bad = true
		}
	}
	return a
}

func (d *decoder) addrPort() netip.AddrPort {
	a := d.addr()
	return netip.AddrPortFrom(a, uint16(d.below(1<<16)))
}

func appendBytes[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendAddr(b []byte, a netip.Addr) []byte {
	switch a = a.WithZone(""); { // a zone means nothing on another member
	case a.Is4():
		v := a.As4()
		return appendBytes(b, v[:])
	case a.Is6():
		v := a.As16()
		return appendBytes(b, v[:])
	}
	return append(b, 0)
}

func appendAddrPort(b []byte, a netip.AddrPort) []byte {
	return binary.AppendUvarint(appendAddr(b, a.Addr()), uint64(a.Port()))
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

// What an attempt may take of a record, so that a peer's long reply cannot fill the store.
const (
	maxTextLen = 512
	maxNameLen = 255
)

func cut(s string, n int) string { return s[:min(len(s), n)] }

func appendAttempt(b []byte, a *mail.Attempt) []byte {
	b = binary.AppendUvarint(b, uint64(toMillis(a.At)))
	b = binary.AppendUvarint(b, uint64(min(max(a.Code, 0), 999)))
	b = appendBytes(b, cut(a.Enhanced, maxNameLen))
	b = appendBytes(b, cut(a.Text, maxTextLen))
	b = appendBytes(b, cut(a.Remote, maxNameLen))
	b = appendAddrPort(b, a.RemoteIP)
	b = appendAddr(b, a.LocalIP)
	return appendBytes(b, cut(a.TLS, maxNameLen))
}

// skipAttempt reads an encoded attempt as bytes; most are only copied from a command to a row.
func (d *decoder) skipAttempt() (raw []byte, at int64) {
	from := d.pos
	at = d.millis()
	d.below(1000)
	d.bytes()
	d.bytes()
	d.bytes()
	d.addrPort()
	d.addr()
	d.bytes()
	if d.bad {
		return nil, 0
	}
	return d.b[from:d.pos:d.pos], at
}

func (d *decoder) attempt() (a mail.Attempt) {
	a.At = fromMillis(d.millis())
	a.Code = int(d.below(1000))
	a.Enhanced, a.Text, a.Remote = d.str(), d.str(), d.str()
	a.RemoteIP, a.LocalIP = d.addrPort(), d.addr()
	a.TLS = d.str()
	return a
}
