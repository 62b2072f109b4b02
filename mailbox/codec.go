package mailbox

import (
	"encoding/binary"
	"fmt"

	"github.com/postroad/postroad/internal/codec"
	"github.com/postroad/postroad/internal/mail"
)

// formatVersion is the first octet of every row, command and result. A reader that meets another
// one stops.
const formatVersion = 1

var errCorrupt = fmt.Errorf("mailbox: %w", codec.ErrCorrupt)

// decoder reads an encoding front to back. Callers check for faults once, with done.
type decoder struct{ codec.Decoder }

// done reports an error unless all was read and all of it was good.
func (d *decoder) done() error {
	if !d.OK() {
		return errCorrupt
	}
	return nil
}

func (d *decoder) flags() Flags { return Flags(d.Below(uint64(allFlags) + 1)) }

// text reads a name of at least one and at most most octets.
func (d *decoder) text(most int) []byte {
	p := d.Bytes()
	if len(p) == 0 || len(p) > most {
		d.Fail()
	}
	return p
}

func (d *decoder) id() (id mail.ID) {
	copy(id[:], d.Take(len(id)))
	return id
}

func (d *decoder) version() {
	if d.Octet() != formatVersion {
		d.Fail()
	}
}

// uids reads ascending UIDs and appends them.
func (d *decoder) uids(into []UID) []UID {
	next := uint64(0)
	for n := d.Count(1); n > 0 && !d.Failed(); n-- {
		uid := next + d.Below(1<<32)
		if uid >= 1<<32 {
			d.Fail()
			break
		}
		into, next = append(into, UID(uid)), uid+1
	}
	return into
}

func appendUIDs(b []byte, uids []UID) []byte {
	b = binary.AppendUvarint(b, uint64(len(uids)))
	next := uint64(0)
	for _, uid := range uids {
		b = binary.AppendUvarint(b, uint64(uid)-next)
		next = uint64(uid) + 1
	}
	return b
}
