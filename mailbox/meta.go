package mailbox

import (
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// counter names one of the exact counters that travel in the meta row, in the batch of what they
// count.
type counter int

const (
	countMailboxes    counter = iota
	countMessages             // in folders, without what was deleted and is not purged yet
	countBytes                // of these messages
	countContents             // stored, each once
	countContentBytes         // of these
	countDedupRecords         // dedup records
	countAppended             // of all time
	countDuplicates           // appends that were known, of all time

	countersNumber
)

// meta is what the machine keeps in memory between commands. All of it is in the meta row, so that
// any member that has applied the same entries has the same.
type meta struct {
	time     int64   // newest command time
	epoch    uint64  // index of the present owner's epoch command
	mailbox  uint32  // number of the newest mailbox
	validity uint32  // newest UIDVALIDITY
	newest   mail.ID // the highest ID that a dedup record has had
	counters [countersNumber]uint64
}

func (m *meta) append(b []byte) []byte {
	b = append(append(b, formatVersion), m.newest[:]...)
	for _, v := range [...]uint64{
		uint64(m.time), m.epoch, uint64(m.mailbox), uint64(m.validity), uint64(countersNumber),
	} {
		b = binary.AppendUvarint(b, v)
	}
	for _, v := range m.counters {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func decodeMeta(b []byte) (m meta, err error) {
	d := decoder{codec.New(b)}
	d.version()
	m.newest = d.id()
	m.time, m.epoch, m.mailbox, m.validity = d.Millis(), d.Uvarint(), d.Uint32(), d.Uint32()
	if d.Uvarint() != uint64(countersNumber) {
		return m, errCorrupt
	}
	for i := range m.counters {
		m.counters[i] = d.Uvarint()
	}
	return m, d.done()
}

// nextValidity returns a UIDVALIDITY above all that were given (RFC 9051 2.3.1.1): the command time
// in seconds, or one more than the last.
func (m *meta) nextValidity() uint32 {
	m.validity = max(m.validity+1, uint32(m.time/1000))
	return m.validity
}
