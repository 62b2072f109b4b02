package queue

import (
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// recipientRow is the stored state of one recipient. There is none while the state is the initial
// one: Ready, due at arrival.
type recipientRow struct {
	state    State
	warned   bool // a delay warning was due
	maybe    bool // an attempt of an earlier owner may have been under way
	attempts uint32
	due      int64  // milliseconds
	index    uint64 // of the entry after which surely no attempt was under way
	at       int64  // time of the last attempt, tells a repeated outcome
	attempt  []byte // encoded; part of the buffer it was read from
}

func (r *recipientRow) append(b []byte) []byte {
	var flags byte
	if r.warned {
		flags |= 1
	}
	if r.maybe {
		flags |= 2
	}
	b = append(b, formatVersion, byte(r.state), flags)
	b = binary.AppendUvarint(b, uint64(r.attempts))
	b = binary.AppendUvarint(b, uint64(r.due))
	b = binary.AppendUvarint(b, r.index)
	return append(b, r.attempt...)
}

func decodeRecipientRow(b []byte) (r recipientRow, err error) {
	d := decoder{codec.New(b)}
	d.version()
	r.state = State(d.Below(uint64(Removed) + 1))
	flags := d.Octet()
	r.warned, r.maybe = flags&1 != 0, flags&2 != 0
	r.attempts = uint32(d.Below(1 << 32))
	r.due = d.Millis()
	r.index = d.Uvarint()
	r.attempt, r.at = d.skipAttempt()
	if r.state == InFlight || flags > 3 {
		return r, errCorrupt // never stored
	}
	return r, d.done()
}

// last decodes the attempt.
func (r *recipientRow) last() mail.Attempt {
	d := decoder{codec.New(r.attempt)}
	return d.attempt()
}

var noAttempt = appendAttempt(nil, &mail.Attempt{})

// counts is what keeps a message in the queue: recipients that are not final, and reports that are
// due.
type counts struct{ remaining, reports uint32 }

func (c counts) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, formatVersion), uint64(c.remaining))
	return binary.AppendUvarint(b, uint64(c.reports))
}

func decodeCounts(b []byte) (c counts, err error) {
	d := decoder{codec.New(b)}
	d.version()
	c.remaining, c.reports = uint32(d.Below(1<<32)), uint32(d.Below(1<<32))
	return c, d.done()
}

// A schedule row's value names the recipients, ascending; the empty value means all of the
// message's recipients of that domain.

func appendNumbers(b []byte, numbers []uint32) []byte {
	b = binary.AppendUvarint(append(b, formatVersion), uint64(len(numbers)))
	next := uint32(0)
	for _, n := range numbers {
		b = binary.AppendUvarint(b, uint64(n-next))
		next = n + 1
	}
	return b
}

// decodeNumbers appends the numbers to into.
func decodeNumbers(into []uint32, b []byte) ([]uint32, error) {
	d := decoder{codec.New(b)}
	d.version()
	next := uint64(0)
	for n := d.Count(1); n > 0 && !d.Failed(); n-- {
		number := next + d.Below(1<<32)
		if number >= countsNumber {
			return into, errCorrupt
		}
		into, next = append(into, uint32(number)), number+1
	}
	return into, d.done()
}

// A chunk row says where the chunk lies.

func appendChunkRow(b []byte, p PartRef) []byte {
	b = binary.AppendUvarint(append(b, formatVersion), p.Index)
	b = binary.AppendUvarint(b, uint64(p.Part))
	return binary.AppendUvarint(b, uint64(p.Size))
}

func decodeChunkRow(b []byte) (PartRef, error) {
	d := decoder{codec.New(b)}
	d.version()
	p := PartRef{Index: d.Uvarint(), Part: int(d.Below(1 << 31)), Size: d.Millis()}
	return p, d.done()
}

// A report row holds all that was known when the report became due, because a delayed recipient
// moves on.

func appendReportRow(b []byte, rs []reported) []byte {
	b = binary.AppendUvarint(append(b, formatVersion), uint64(len(rs)))
	for _, r := range rs {
		b = binary.AppendUvarint(b, uint64(r.number))
		b = append(append(b, byte(r.state)), r.attempt...)
	}
	return b
}

func decodeReportRow(b []byte) (rs []ReportRecipient, err error) {
	d := decoder{codec.New(b)}
	d.version()
	for n := d.Count(3); n > 0 && !d.Failed(); n-- {
		rs = append(rs, ReportRecipient{
			Number: uint32(
				d.Below(countsNumber),
			), State: State(d.Below(uint64(Removed) + 1)), Attempt: d.attempt(),
		})
	}
	return rs, d.done()
}
