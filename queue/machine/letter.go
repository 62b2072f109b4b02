package machine

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// Letter is a message on its way from a queue group that is to go to another one: all that the
// group knows of it but the content. It is made of rows in the same way by the owner that copies it
// and by Apply that lets it go, so that a digest tells whether anything changed in between.
type Letter struct {
	ID       mail.ID
	Chunks   uint32 // its content came before, in so many pieces; 0: it comes with it
	Flags    byte   // FlagReport or none
	Size     int64
	Envelope []byte
	Rows     []RecipientRow // of all recipients
	Encoded  []byte
}

// letterFlags are what of a record's flags goes along.
const letterFlags = FlagReport

// Digest is what stands for a letter in the command that lets it go.
type Digest [16]byte

// DigestOf is the digest of an encoded letter.
func DigestOf(encoded []byte) (d Digest) {
	sum := sha256.Sum256(encoded)
	copy(d[:], sum[:])
	return d
}

// AppendLetter appends the encoded form of a message. A recipient that is maybe attempted here is
// so there: by the mark, for the other group's epochs say nothing of attempts made here. So do its
// entries, hence no index goes along.
func AppendLetter(b []byte, rec *Record, rows []RecipientRow, meta *Meta) []byte {
	b = append(b, FormatVersion, rec.Flags&letterFlags)
	b = binary.AppendUvarint(b, uint64(rec.Size))
	b = codec.AppendBytes(b, rec.Envelope)
	b = binary.AppendUvarint(b, uint64(len(rows)))
	var one []byte
	for _, row := range rows {
		row.Maybe = !row.State.Final() && meta.MaybeAttempted(&row)
		row.Index = 0
		one = row.Append(one[:0])
		b = codec.AppendBytes(b, one)
	}
	return b
}

// DecodeLetter reads what AppendLetter made; slices are parts of b.
func DecodeLetter(b []byte) (l Letter, err error) {
	d := Decoder{codec.New(b)}
	d.version()
	l.Flags, l.Size, l.Envelope, l.Encoded = d.Octet(), d.Millis(), d.Bytes(), b
	for n := d.Count(1); n > 0 && !d.Failed(); n-- {
		row, err := DecodeRecipientRow(d.Bytes())
		if err != nil {
			return l, err
		}
		l.Rows = append(l.Rows, row)
	}
	if l.Flags&^letterFlags != 0 || len(l.Rows) == 0 {
		return l, ErrCorrupt
	}
	return l, d.done()
}

// Waits reports whether some recipient is not final: else there is nothing to hand over.
func (l *Letter) Waits() bool {
	for i := range l.Rows {
		if !l.Rows[i].State.Final() {
			return true
		}
	}
	return false
}

// AppendIncomingRow writes the row of a letter that has come and is not the queue's own yet: where
// its
// content lies, and the letter.
func AppendIncomingRow(b []byte, parts []PartRef, encoded []byte) []byte {
	b = binary.AppendUvarint(append(b, FormatVersion), uint64(len(parts)))
	for _, p := range parts {
		b = binary.AppendUvarint(b, p.Index)
		b = binary.AppendUvarint(b, uint64(p.Part))
		b = binary.AppendUvarint(b, uint64(p.Size))
	}
	return append(b, encoded...)
}

// DecodeIncomingRow reads the row of a letter that has come; l is part of b.
func DecodeIncomingRow(b []byte) (parts []PartRef, l Letter, err error) {
	d := Decoder{codec.New(b)}
	d.version()
	for n := d.Count(3); n > 0 && !d.Failed(); n-- {
		parts = append(
			parts,
			PartRef{Index: d.Uvarint(), Part: int(d.Below(1 << 31)), Size: d.Millis()},
		)
	}
	if d.Failed() {
		return nil, l, ErrCorrupt
	}
	l, err = DecodeLetter(d.Rest())
	return parts, l, err
}
