package machine

import (
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
)

// Counter names one of the exact counters that travel in the meta row, in the batch of what they
// count.
type Counter int

const (
	CountMessages Counter = iota // in the queue
	CountBytes                   // of content in the queue
	CountReports                 // due
	CountAccepted                // of all time
	// double bounces of all time: failures that could be reported to nobody
	CountBounced
	// recipients by state, one counter each; of final states, those of all time
	CountState

	// how many counters there are
	CountersNumber = CountState + Counter(Removed) + 1
)

// Meta is what the machine keeps in memory between commands. All of it is in the meta row, so that
// any member that has applied the same entries has the same.
type Meta struct {
	Index    uint64 // of the last command applied
	Time     int64  // newest command time
	Epoch    uint64 // index of the present owner's epoch command
	maybe    uint64 // recipients not touched since this index, and
	maybeDue int64  // due by then, may have been under way when an owner went without a word
	Idle     bool   // the owner said that no attempt is under way
	sealed   bool   // nothing more is accepted
	slots    uint64 // sessions below this one are past remembering: nothing of theirs is accepted
	Counters [CountersNumber]uint64
	// hand-overs to this queue that are under way; in the row only when there are some, which is
	// from protocol 4 on
	Incoming uint64
}

// Append writes the meta row.
func (m *Meta) Append(b []byte) []byte {
	b = append(
		b,
		FormatVersion,
		codec.Bit(m.Idle)|codec.Bit(m.sealed)<<1|codec.Bit(m.Incoming > 0)<<2,
	)
	for _, v := range [...]uint64{
		m.Index, uint64(m.Time), m.Epoch, m.maybe, uint64(m.maybeDue), m.slots,
		uint64(CountersNumber),
	} {
		b = binary.AppendUvarint(b, v)
	}
	for _, v := range m.Counters {
		b = binary.AppendUvarint(b, v)
	}
	if m.Incoming > 0 {
		b = binary.AppendUvarint(b, m.Incoming)
	}
	return b
}

// DecodeMeta reads the meta row.
func DecodeMeta(b []byte) (m Meta, err error) {
	d := Decoder{codec.New(b)}
	d.version()
	flags := d.Below(8)
	m.Idle, m.sealed = flags&1 != 0, flags&2 != 0
	m.Index, m.Time = d.Uvarint(), d.Millis()
	m.Epoch, m.maybe, m.maybeDue, m.slots = d.Uvarint(), d.Uvarint(), d.Millis(), d.Uvarint()
	if d.Uvarint() != uint64(CountersNumber) {
		return m, ErrCorrupt
	}
	for i := range m.Counters {
		m.Counters[i] = d.Uvarint()
	}
	if flags&4 != 0 {
		if m.Incoming = d.Uvarint(); m.Incoming == 0 {
			return m, ErrCorrupt
		}
	}
	return m, d.done()
}

// MaybeAttempted reports whether an attempt at a recipient in this state may have been under way
// when the owner changed.
func (m *Meta) MaybeAttempted(r *RecipientRow) bool {
	return r.Maybe || r.Index < m.maybe && r.Due <= m.maybeDue
}
