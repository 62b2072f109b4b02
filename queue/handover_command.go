package queue

import (
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// handoverCommand has what the commands of a hand-over have; each uses its own few.
type handoverCommand struct {
	source  uint64 // the group that the mail leaves
	target  uint64 // the group that it goes to
	serial  uint64
	letters []letter
	refs    []goingRef
	ids     []mail.ID
	chunk   chunkRef
}

// goingRef names a message as it was when it was copied.
type goingRef struct {
	id     mail.ID
	digest digest
}

// appendOffer: the owner of that session begins to hand over to a group.
func appendOffer(b []byte, session, target uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, session), target)
}

// appendLetGo: messages that were copied are the other group's now, unless they changed since.
func appendLetGo(b []byte, session, serial uint64, refs []goingRef) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, session), serial)
	b = binary.AppendUvarint(b, uint64(len(refs)))
	for i := range refs {
		b = append(append(b, refs[i].id[:]...), refs[i].digest[:]...)
	}
	return b
}

// appendOver: the other group knows which messages are its own now.
func appendOver(b []byte, serial uint64) []byte { return binary.AppendUvarint(b, serial) }

// appendBring: a chunk of a large message that comes from a group.
func appendBring(b []byte, source, serial uint64, c chunkRef) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, source), serial)
	return binary.AppendUvarint(append(b, c.id[:]...), uint64(c.seq))
}

// appendTake: n letters from a group.
func appendTake(b []byte, source, serial uint64, n int) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, source), serial)
	return binary.AppendUvarint(b, uint64(n))
}

func appendTaken(b []byte, l *letter) []byte {
	b = binary.AppendUvarint(append(b, l.id[:]...), uint64(l.chunks))
	return codec.AppendBytes(b, l.encoded)
}

// appendFinish: a group has let these go; whatever else came from it up to that serial stayed
// there.
func appendFinish(b []byte, source, serial uint64, ids []mail.ID) []byte {
	return appendIDs(binary.AppendUvarint(binary.AppendUvarint(b, source), serial), ids)
}

// decodeHandover reads a command of a hand-over; false: it is none.
func (c *command) decodeHandover(d *decoder) bool {
	h := &c.handover
	switch c.kind {
	case cmdOffer:
		c.session, h.target = d.Uvarint(), d.Uvarint()
	case cmdLetGo:
		c.session, h.serial, h.refs = d.Uvarint(), d.Uvarint(), h.refs[:0]
		for n := d.Count(idLen + len(digest{})); n > 0 && !d.Failed(); n-- {
			r := goingRef{id: d.id()}
			copy(r.digest[:], d.Take(len(r.digest)))
			h.refs = append(h.refs, r)
		}
	case cmdOver:
		h.serial = d.Uvarint()
	case cmdBring:
		h.source, h.serial = d.Uvarint(), d.Uvarint()
		h.chunk = chunkRef{d.id(), uint32(d.Below(1 << 32))}
	case cmdTake:
		h.source, h.serial = d.Uvarint(), d.Uvarint()
		c.decodeLetters(d)
	case cmdFinish:
		h.source, h.serial, h.ids = d.Uvarint(), d.Uvarint(), d.ids()
	default:
		return false
	}
	if len(h.refs) > handoverMost || c.kind >= cmdBring && (h.serial == 0 || h.source == 0) {
		d.Fail()
	}
	return true
}

func (c *command) decodeLetters(d *decoder) {
	h := &c.handover
	h.letters = h.letters[:0]
	for n := d.Count(idLen + 2); n > 0 && !d.Failed(); n-- {
		id, chunks := d.id(), uint32(d.Below(1<<32))
		l, err := decodeLetter(d.Bytes())
		if err != nil || len(h.letters) == handoverMost {
			d.Fail()
			return
		}
		l.id, l.chunks = id, chunks
		h.letters = append(h.letters, l)
	}
}
