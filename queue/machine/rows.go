package machine

import (
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// RecipientRow is the stored state of one recipient. There is none while the state is the initial
// one: Ready, due at arrival.
type RecipientRow struct {
	State    State
	Warned   bool // a delay warning was due
	Maybe    bool // an attempt of an earlier owner may have been under way
	Attempts uint32
	Due      int64  // milliseconds
	Index    uint64 // of the entry after which surely no attempt was under way
	at       int64  // time of the last attempt, tells a repeated outcome
	Attempt  []byte // encoded; part of the buffer it was read from
}

// Append writes the row.
func (r *RecipientRow) Append(b []byte) []byte {
	var flags byte
	if r.Warned {
		flags |= 1
	}
	if r.Maybe {
		flags |= 2
	}
	b = append(b, FormatVersion, byte(r.State), flags)
	b = binary.AppendUvarint(b, uint64(r.Attempts))
	b = binary.AppendUvarint(b, uint64(r.Due))
	b = binary.AppendUvarint(b, r.Index)
	return append(b, r.Attempt...)
}

// DecodeRecipientRow reads a recipient row; its attempt is part of b.
func DecodeRecipientRow(b []byte) (r RecipientRow, err error) {
	d := Decoder{codec.New(b)}
	d.version()
	r.State = State(d.Below(uint64(Removed) + 1))
	flags := d.Octet()
	r.Warned, r.Maybe = flags&1 != 0, flags&2 != 0
	r.Attempts = uint32(d.Below(1 << 32))
	r.Due = d.Millis()
	r.Index = d.Uvarint()
	r.Attempt, r.at = d.skipAttempt()
	if r.State == InFlight || flags > 3 {
		return r, ErrCorrupt // never stored
	}
	return r, d.done()
}

// Last decodes the attempt.
func (r *RecipientRow) Last() mail.Attempt {
	d := Decoder{codec.New(r.Attempt)}
	return d.attempt()
}

// NoAttempt is the encoded attempt of a recipient that had none.
var NoAttempt = AppendAttempt(nil, &mail.Attempt{})

// Counts is what keeps a message in the queue: recipients that are not final, and reports that are
// due.
type Counts struct{ Remaining, Reports uint32 }

// Append writes the row.
func (c Counts) Append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, FormatVersion), uint64(c.Remaining))
	return binary.AppendUvarint(b, uint64(c.Reports))
}

// DecodeCounts reads a counts row.
func DecodeCounts(b []byte) (c Counts, err error) {
	d := Decoder{codec.New(b)}
	d.version()
	c.Remaining, c.Reports = uint32(d.Below(1<<32)), uint32(d.Below(1<<32))
	return c, d.done()
}

// AppendNumbers writes a schedule row's value: the recipients, ascending. The empty value means all
// of
// the message's recipients of that domain.
func AppendNumbers(b []byte, numbers []uint32) []byte {
	b = binary.AppendUvarint(append(b, FormatVersion), uint64(len(numbers)))
	next := uint32(0)
	for _, n := range numbers {
		b = binary.AppendUvarint(b, uint64(n-next))
		next = n + 1
	}
	return b
}

// DecodeNumbers appends the numbers to into.
func DecodeNumbers(into []uint32, b []byte) ([]uint32, error) {
	d := Decoder{codec.New(b)}
	d.version()
	next := uint64(0)
	for n := d.Count(1); n > 0 && !d.Failed(); n-- {
		number := next + d.Below(1<<32)
		if number >= CountsNumber {
			return into, ErrCorrupt
		}
		into, next = append(into, uint32(number)), number+1
	}
	return into, d.done()
}

// AppendChunkRow writes a chunk row, which says where the chunk lies.
func AppendChunkRow(b []byte, p PartRef) []byte {
	b = binary.AppendUvarint(append(b, FormatVersion), p.Index)
	b = binary.AppendUvarint(b, uint64(p.Part))
	return binary.AppendUvarint(b, uint64(p.Size))
}

// DecodeChunkRow reads a chunk row.
func DecodeChunkRow(b []byte) (PartRef, error) {
	d := Decoder{codec.New(b)}
	d.version()
	p := PartRef{Index: d.Uvarint(), Part: int(d.Below(1 << 31)), Size: d.Millis()}
	return p, d.done()
}

// AppendReportRow writes a report row. It holds all that was known when the report became due,
// because
// a delayed recipient moves on.
func AppendReportRow(b []byte, rs []Reported) []byte {
	b = binary.AppendUvarint(append(b, FormatVersion), uint64(len(rs)))
	for _, r := range rs {
		b = binary.AppendUvarint(b, uint64(r.Number))
		b = append(append(b, byte(r.State)), r.Attempt...)
	}
	return b
}

// DecodeReportRow reads a report row.
func DecodeReportRow(b []byte) (rs []ReportRecipient, err error) {
	d := Decoder{codec.New(b)}
	d.version()
	for n := d.Count(3); n > 0 && !d.Failed(); n-- {
		rs = append(rs, ReportRecipient{
			Number: uint32(
				d.Below(CountsNumber),
			), State: State(d.Below(uint64(Removed) + 1)), Attempt: d.attempt(),
		})
	}
	return rs, d.done()
}
