package queue

import (
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
)

// counter names one of the exact counters that travel in the meta row, in the batch of what they
// count.
type counter int

const (
	countMessages counter = iota // in the queue
	countBytes                   // of content in the queue
	countReports                 // due
	countAccepted                // of all time
	// double bounces of all time: failures that could be reported to nobody
	countBounced
	// recipients by state, one counter each; of final states, those of all time
	countState

	countersNumber = countState + counter(Removed) + 1
)

// meta is what the machine keeps in memory between commands. All of it is in the meta row, so that
// any member that has applied the same entries has the same.
type meta struct {
	index    uint64 // of the last command applied
	time     int64  // newest command time
	epoch    uint64 // index of the present owner's epoch command
	maybe    uint64 // recipients not touched since this index, and
	maybeDue int64  // due by then, may have been under way when an owner went without a word
	idle     bool   // the owner said that no attempt is under way
	sealed   bool   // nothing more is accepted
	slots    uint64 // sessions below this one are past remembering: nothing of theirs is accepted
	counters [countersNumber]uint64
	// hand-overs to this queue that are under way; in the row only when there are some, which is
	// from protocol 4 on
	incoming uint64
}

func (m *meta) append(b []byte) []byte {
	b = append(
		b,
		formatVersion,
		codec.Bit(m.idle)|codec.Bit(m.sealed)<<1|codec.Bit(m.incoming > 0)<<2,
	)
	for _, v := range [...]uint64{
		m.index, uint64(m.time), m.epoch, m.maybe, uint64(m.maybeDue), m.slots,
		uint64(countersNumber),
	} {
		b = binary.AppendUvarint(b, v)
	}
	for _, v := range m.counters {
		b = binary.AppendUvarint(b, v)
	}
	if m.incoming > 0 {
		b = binary.AppendUvarint(b, m.incoming)
	}
	return b
}

func decodeMeta(b []byte) (m meta, err error) {
	d := decoder{codec.New(b)}
	d.version()
	flags := d.Below(8)
	m.idle, m.sealed = flags&1 != 0, flags&2 != 0
	m.index, m.time = d.Uvarint(), d.Millis()
	m.epoch, m.maybe, m.maybeDue, m.slots = d.Uvarint(), d.Uvarint(), d.Millis(), d.Uvarint()
	if d.Uvarint() != uint64(countersNumber) {
		return m, errCorrupt
	}
	for i := range m.counters {
		m.counters[i] = d.Uvarint()
	}
	if flags&4 != 0 {
		if m.incoming = d.Uvarint(); m.incoming == 0 {
			return m, errCorrupt
		}
	}
	return m, d.done()
}

// maybeAttempted reports whether an attempt at a recipient in this state may have been under way
// when the owner changed.
func (m *meta) maybeAttempted(r *recipientRow) bool {
	return r.maybe || r.index < m.maybe && r.due <= m.maybeDue
}
