package queue

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// A letter is a message on its way from a queue group that is to go to another one: all that the
// group knows of it but the content. It is made of rows in the same way by the owner that copies it
// and by Apply that lets it go, so that a digest tells whether anything changed in between.
type letter struct {
	id       mail.ID
	chunks   uint32 // its content came before, in so many pieces; 0: it comes with it
	flags    byte   // flagReport or none
	size     int64
	envelope []byte
	rows     []recipientRow // of all recipients
	encoded  []byte
}

// letterFlags are what of a record's flags goes along.
const letterFlags = flagReport

// digest is what stands for a letter in the command that lets it go.
type digest [16]byte

// digestOf is the digest of an encoded letter.
func digestOf(encoded []byte) (d digest) {
	sum := sha256.Sum256(encoded)
	copy(d[:], sum[:])
	return d
}

// appendLetter appends the encoded form of a message. A recipient that is maybe attempted here is
// so there: by the mark, for the other group's epochs say nothing of attempts made here. So do its
// entries, hence no index goes along.
func appendLetter(b []byte, rec *record, rows []recipientRow, meta *meta) []byte {
	b = append(b, formatVersion, rec.flags&letterFlags)
	b = binary.AppendUvarint(b, uint64(rec.size))
	b = codec.AppendBytes(b, rec.envelope)
	b = binary.AppendUvarint(b, uint64(len(rows)))
	var one []byte
	for _, row := range rows {
		row.maybe = !row.state.Final() && meta.maybeAttempted(&row)
		row.index = 0
		one = row.append(one[:0])
		b = codec.AppendBytes(b, one)
	}
	return b
}

// decodeLetter reads what appendLetter made; slices are parts of b.
func decodeLetter(b []byte) (l letter, err error) {
	d := decoder{codec.New(b)}
	d.version()
	l.flags, l.size, l.envelope, l.encoded = d.Octet(), d.Millis(), d.Bytes(), b
	for n := d.Count(1); n > 0 && !d.Failed(); n-- {
		row, err := decodeRecipientRow(d.Bytes())
		if err != nil {
			return l, err
		}
		l.rows = append(l.rows, row)
	}
	if l.flags&^letterFlags != 0 || len(l.rows) == 0 {
		return l, errCorrupt
	}
	return l, d.done()
}

// waits reports whether some recipient is not final: else there is nothing to hand over.
func (l *letter) waits() bool {
	for i := range l.rows {
		if !l.rows[i].state.Final() {
			return true
		}
	}
	return false
}

// A row of a letter that has come and is not the queue's own yet: where its content lies, and the
// letter.

func appendIncomingRow(b []byte, parts []PartRef, encoded []byte) []byte {
	b = binary.AppendUvarint(append(b, formatVersion), uint64(len(parts)))
	for _, p := range parts {
		b = binary.AppendUvarint(b, p.Index)
		b = binary.AppendUvarint(b, uint64(p.Part))
		b = binary.AppendUvarint(b, uint64(p.Size))
	}
	return append(b, encoded...)
}

func decodeIncomingRow(b []byte) (parts []PartRef, l letter, err error) {
	d := decoder{codec.New(b)}
	d.version()
	for n := d.Count(3); n > 0 && !d.Failed(); n-- {
		parts = append(
			parts,
			PartRef{Index: d.Uvarint(), Part: int(d.Below(1 << 31)), Size: d.Millis()},
		)
	}
	if d.Failed() {
		return nil, l, errCorrupt
	}
	l, err = decodeLetter(d.Rest())
	return parts, l, err
}
