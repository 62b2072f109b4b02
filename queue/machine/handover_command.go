package machine

import (
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// handoverCommand has what the commands of a hand-over have; each uses its own few.
type handoverCommand struct {
	Source  uint64 // the group that the mail leaves
	target  uint64 // the group that it goes to
	Serial  uint64
	Letters []Letter
	refs    []GoingRef
	ids     []mail.ID
	chunk   ChunkRef
}

// GoingRef names a message as it was when it was copied.
type GoingRef struct {
	ID     mail.ID
	Digest Digest
}

// AppendOffer: the owner of that session begins to hand over to a group.
func AppendOffer(b []byte, session, target uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, session), target)
}

// AppendLetGo: messages that were copied are the other group's now, unless they changed since.
func AppendLetGo(b []byte, session, serial uint64, refs []GoingRef) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, session), serial)
	b = binary.AppendUvarint(b, uint64(len(refs)))
	for i := range refs {
		b = append(append(b, refs[i].ID[:]...), refs[i].Digest[:]...)
	}
	return b
}

// AppendOver: the other group knows which messages are its own now.
func AppendOver(b []byte, serial uint64) []byte { return binary.AppendUvarint(b, serial) }

// AppendBring: a chunk of a large message that comes from a group.
func AppendBring(b []byte, source, serial uint64, c ChunkRef) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, source), serial)
	return binary.AppendUvarint(append(b, c.ID[:]...), uint64(c.Seq))
}

// AppendTake: n letters from a group.
func AppendTake(b []byte, source, serial uint64, n int) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, source), serial)
	return binary.AppendUvarint(b, uint64(n))
}

// AppendTaken adds a letter to a take command.
func AppendTaken(b []byte, l *Letter) []byte {
	b = binary.AppendUvarint(append(b, l.ID[:]...), uint64(l.Chunks))
	return codec.AppendBytes(b, l.Encoded)
}

// AppendFinish: a group has let these go; whatever else came from it up to that serial stayed
// there.
func AppendFinish(b []byte, source, serial uint64, ids []mail.ID) []byte {
	return appendIDs(binary.AppendUvarint(binary.AppendUvarint(b, source), serial), ids)
}

// decodeHandover reads a command of a hand-over; false: it is none.
func (c *Command) decodeHandover(d *Decoder) bool {
	h := &c.Handover
	switch c.Kind {
	case CmdOffer:
		c.Session, h.target = d.Uvarint(), d.Uvarint()
	case CmdLetGo:
		c.Session, h.Serial, h.refs = d.Uvarint(), d.Uvarint(), h.refs[:0]
		for n := d.Count(IDLen + len(Digest{})); n > 0 && !d.Failed(); n-- {
			r := GoingRef{ID: d.id()}
			copy(r.Digest[:], d.Take(len(r.Digest)))
			h.refs = append(h.refs, r)
		}
	case CmdOver:
		h.Serial = d.Uvarint()
	case CmdBring:
		h.Source, h.Serial = d.Uvarint(), d.Uvarint()
		h.chunk = ChunkRef{d.id(), uint32(d.Below(1 << 32))}
	case CmdTake:
		h.Source, h.Serial = d.Uvarint(), d.Uvarint()
		c.decodeLetters(d)
	case CmdFinish:
		h.Source, h.Serial, h.ids = d.Uvarint(), d.Uvarint(), d.ids()
	default:
		return false
	}
	if len(h.refs) > HandoverMost || c.Kind >= CmdBring && (h.Serial == 0 || h.Source == 0) {
		d.Fail()
	}
	return true
}

func (c *Command) decodeLetters(d *Decoder) {
	h := &c.Handover
	h.Letters = h.Letters[:0]
	for n := d.Count(IDLen + 2); n > 0 && !d.Failed(); n-- {
		id, chunks := d.id(), uint32(d.Below(1<<32))
		l, err := DecodeLetter(d.Bytes())
		if err != nil || len(h.Letters) == HandoverMost {
			d.Fail()
			return
		}
		l.ID, l.Chunks = id, chunks
		h.Letters = append(h.Letters, l)
	}
}
