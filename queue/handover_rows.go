package queue

import (
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// The rows of a hand-over (DESIGN.md, "Handing over"). The group that mail leaves has one, the
// group that it goes to one for each group that something ever came from, and rows for what has
// come and is not its own yet.

// handoverMost bounds the messages of one hand-over.
const handoverMost = 250

// handoverPhase is how far a hand-over is, in the group that the mail leaves.
type handoverPhase byte

const (
	handoverIdle handoverPhase = iota
	handoverCopy               // messages are being copied; they are this group's
	handoverGone               // those named are the other group's, which may not know it yet
	handoverPhases
)

// handoverRow is this group's present hand-over.
type handoverRow struct {
	phase  handoverPhase
	serial uint64    // index of the entry that began it: later ones have higher serials
	target uint64    // the group that the mail goes to
	total  uint64    // messages let go, of all time
	gone   []mail.ID // let go in this one
}

func (h *handoverRow) append(b []byte) []byte {
	b = append(b, formatVersion, byte(h.phase))
	for _, v := range [...]uint64{h.serial, h.target, h.total} {
		b = binary.AppendUvarint(b, v)
	}
	return appendIDs(b, h.gone)
}

func decodeHandoverRow(b []byte) (h handoverRow, err error) {
	d := decoder{codec.New(b)}
	d.version()
	h.phase = handoverPhase(d.Octet())
	h.serial, h.target, h.total, h.gone = d.Uvarint(), d.Uvarint(), d.Uvarint(), d.ids()
	if h.phase >= handoverPhases {
		return h, errCorrupt
	}
	return h, d.done()
}

// incomingRow is what has come from one other group. Serials ascend, and a hand-over begins only
// after the one before it has ended; so one number, over, keeps out all late copies.
type incomingRow struct {
	// hand-overs up to this serial have ended: nothing of theirs is taken any more
	over    uint64
	serial  uint64    // of the one under way; 0: none is
	ids     []mail.ID // that have come in it, with a row each
	chunked mail.ID   // of which so many chunks have come, with a row each
	chunks  uint32
}

func (in *incomingRow) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, formatVersion), in.over)
	b = binary.AppendUvarint(b, in.serial)
	b = appendIDs(b, in.ids)
	return binary.AppendUvarint(append(b, in.chunked[:]...), uint64(in.chunks))
}

func decodeIncomingState(b []byte) (in incomingRow, err error) {
	d := decoder{codec.New(b)}
	d.version()
	in.over, in.serial, in.ids = d.Uvarint(), d.Uvarint(), d.ids()
	in.chunked, in.chunks = d.id(), uint32(d.Below(1<<32))
	return in, d.done()
}

func appendIDs(b []byte, ids []mail.ID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

func (d *decoder) ids() (ids []mail.ID) {
	n := d.Count(idLen)
	if n > handoverMost {
		d.Fail()
		return nil
	}
	for ; n > 0; n-- {
		ids = append(ids, d.id())
	}
	return ids
}

// appendIncomingKey makes the key of what came from a group: its state; with an ID a letter, with a
// number as well a chunk.
func appendIncomingKey(b []byte, source uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, keyIncoming), source)
}

func appendIncomingLetterKey(b []byte, source uint64, id mail.ID) []byte {
	return append(appendIncomingKey(b, source), id[:]...)
}

func appendIncomingChunkKey(b []byte, source uint64, id mail.ID, seq uint32) []byte {
	return binary.BigEndian.AppendUint32(appendIncomingLetterKey(b, source, id), seq)
}
