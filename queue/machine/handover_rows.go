package machine

import (
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// The rows of a hand-over (DESIGN.md, "Handing over"). The group that mail leaves has one, the
// group that it goes to one for each group that something ever came from, and rows for what has
// come and is not its own yet.

// HandoverMost bounds the messages of one hand-over.
const HandoverMost = 250

// handoverPhase is how far a hand-over is, in the group that the mail leaves.
type handoverPhase byte

const (
	HandoverIdle handoverPhase = iota // none is under way
	HandoverCopy                      // messages are being copied; they are this group's
	HandoverGone                      // those named are the other group's, which may not know
	handoverPhases
)

// HandoverRow is this group's present hand-over.
type HandoverRow struct {
	Phase  handoverPhase
	Serial uint64    // index of the entry that began it: later ones have higher serials
	Target uint64    // the group that the mail goes to
	Total  uint64    // messages let go, of all time
	Gone   []mail.ID // let go in this one
}

// Append writes the row.
func (h *HandoverRow) Append(b []byte) []byte {
	b = append(b, FormatVersion, byte(h.Phase))
	for _, v := range [...]uint64{h.Serial, h.Target, h.Total} {
		b = binary.AppendUvarint(b, v)
	}
	return appendIDs(b, h.Gone)
}

// DecodeHandoverRow reads the row of a hand-over.
func DecodeHandoverRow(b []byte) (h HandoverRow, err error) {
	d := Decoder{codec.New(b)}
	d.version()
	h.Phase = handoverPhase(d.Octet())
	h.Serial, h.Target, h.Total, h.Gone = d.Uvarint(), d.Uvarint(), d.Uvarint(), d.ids()
	if h.Phase >= handoverPhases {
		return h, ErrCorrupt
	}
	return h, d.done()
}

// IncomingRow is what has come from one other group. Serials ascend, and a hand-over begins only
// after the one before it has ended; so one number, over, keeps out all late copies.
type IncomingRow struct {
	// hand-overs up to this serial have ended: nothing of theirs is taken any more
	Over    uint64
	Serial  uint64    // of the one under way; 0: none is
	IDs     []mail.ID // that have come in it, with a row each
	Chunked mail.ID   // of which so many chunks have come, with a row each
	Chunks  uint32
}

// Append writes the row.
func (in *IncomingRow) Append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, FormatVersion), in.Over)
	b = binary.AppendUvarint(b, in.Serial)
	b = appendIDs(b, in.IDs)
	return binary.AppendUvarint(append(b, in.Chunked[:]...), uint64(in.Chunks))
}

// DecodeIncomingState reads the row of what came from one group.
func DecodeIncomingState(b []byte) (in IncomingRow, err error) {
	d := Decoder{codec.New(b)}
	d.version()
	in.Over, in.Serial, in.IDs = d.Uvarint(), d.Uvarint(), d.ids()
	in.Chunked, in.Chunks = d.id(), uint32(d.Below(1<<32))
	return in, d.done()
}

func appendIDs(b []byte, ids []mail.ID) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

func (d *Decoder) ids() (ids []mail.ID) {
	n := d.Count(IDLen)
	if n > HandoverMost {
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
	return binary.BigEndian.AppendUint64(append(b, KeyIncoming), source)
}

func appendIncomingLetterKey(b []byte, source uint64, id mail.ID) []byte {
	return append(appendIncomingKey(b, source), id[:]...)
}

func appendIncomingChunkKey(b []byte, source uint64, id mail.ID, seq uint32) []byte {
	return binary.BigEndian.AppendUint32(appendIncomingLetterKey(b, source, id), seq)
}
