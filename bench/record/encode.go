package record

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
)

// The encoding: numbers are varints (those that may be negative zigzag), strings have their length
// in front, times are microseconds from the log's epoch or from another time of the entry, an
// address is its 4 or 16 octets.

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t, from time.Time) []byte {
	return binary.AppendVarint(b, t.Sub(from).Microseconds())
}

func (s *Sent) encode(b []byte, epoch time.Time) []byte {
	b = appendString(b, s.ID)
	b = appendString(b, s.QueueID)
	b = appendString(b, s.Sender)
	b = append(b, s.Sum[:]...)
	b = binary.AppendUvarint(b, uint64(s.Size))
	b = binary.AppendUvarint(b, uint64(s.Conn))
	b = appendTime(b, s.Begun, epoch)
	b = appendTime(b, s.Ended, s.Begun)
	b = binary.AppendUvarint(b, uint64(len(s.Recipients)))
	for i := range s.Recipients {
		r := &s.Recipients[i]
		b = appendString(b, r.Address)
		b = binary.AppendUvarint(append(b, byte(r.Outcome)), uint64(r.Code))
	}
	return b
}

func (s *Sent) decode(p []byte, epoch time.Time) error {
	d := decoder{rest: string(p)}
	s.ID, s.QueueID, s.Sender = d.string(), d.string(), d.string()
	copy(s.Sum[:], d.take(len(s.Sum)))
	s.Size, s.Conn = int64(d.uvarint()), uint32(d.uvarint())
	s.Begun = d.time(epoch)
	s.Ended = d.time(s.Begun)
	s.Recipients = s.Recipients[:0]
	for n := d.count(); n > 0 && !d.bad; n-- {
		r := Recipient{Address: d.string(), Outcome: Outcome(d.octet()), Code: uint16(d.uvarint())}
		if r.Outcome > Unknown {
			d.bad = true
		}
		s.Recipients = append(s.Recipients, r)
	}
	return d.end()
}

func (r *Received) encode(b []byte, epoch time.Time) []byte {
	b = appendString(b, r.ID)
	b = appendString(b, r.Sender)
	b = append(b, r.Sum[:]...)
	b = binary.AppendUvarint(b, uint64(r.Size))
	b = binary.AppendUvarint(b, uint64(r.Conn))
	b = appendTime(b, r.Accepted, epoch)
	b = appendTime(b, r.Begun, r.Accepted)
	b = appendTime(b, r.Connected, r.Accepted)
	ip := r.Client.Addr().Unmap().AsSlice()
	b = append(append(b, byte(len(ip))), ip...)
	b = binary.AppendUvarint(b, uint64(r.Client.Port()))
	flags := byte(0)
	if r.TLS {
		flags = 1
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(len(r.Recipients)))
	for _, a := range r.Recipients {
		b = appendString(b, a)
	}
	return b
}

func (r *Received) decode(p []byte, epoch time.Time) error {
	d := decoder{rest: string(p)}
	r.ID, r.Sender = d.string(), d.string()
	copy(r.Sum[:], d.take(len(r.Sum)))
	r.Size, r.Conn = int64(d.uvarint()), uint32(d.uvarint())
	r.Accepted = d.time(epoch)
	r.Begun, r.Connected = d.time(r.Accepted), d.time(r.Accepted)
	ip, ok := netip.AddrFromSlice([]byte(d.take(int(d.octet()))))
	r.Client = netip.AddrPortFrom(ip, uint16(d.uvarint()))
	r.TLS = d.octet() == 1
	r.Recipients = r.Recipients[:0]
	for n := d.count(); n > 0 && !d.bad; n-- {
		r.Recipients = append(r.Recipients, d.string())
	}
	if !ok && r.Client != (netip.AddrPort{}) {
		d.bad = true
	}
	return d.end()
}

var errEntry = errors.New("an entry is damaged")

// decoder takes an entry apart. It works on a string, so that the entry's strings are parts of one.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) take(n int) string {
	if n < 0 || n > len(d.rest) {
		d.bad, d.rest = true, ""
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) octet() byte {
	if s := d.take(1); s != "" {
		return s[0]
	}
	return 0
}

func (d *decoder) uvarint() (v uint64) {
	for shift := 0; shift < 64; shift += 7 {
		c := d.octet()
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	d.bad = true
	return 0
}

// count reads how many things follow, each of which has at least one octet.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) string() string { return d.take(d.count()) }

func (d *decoder) time(from time.Time) time.Time {
	v := d.uvarint()
	return from.Add(time.Duration(int64(v>>1)^-int64(v&1)) * time.Microsecond)
}

func (d *decoder) end() error {
	if d.bad || d.rest != "" {
		return errEntry
	}
	return nil
}
