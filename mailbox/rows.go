package mailbox

import (
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
)

// boxRow is a mailbox.
type boxRow struct {
	number     uint32
	lastFolder uint32
	folders    uint32 // without the inbox
	warned     bool   // it was told that the soft quota is exceeded
	settings   Settings
	created    int64
	messages   uint64
	bytes      uint64
	// lock is the newest POP3 lock of a session that is known here: updates of older ones are too
	// late.
	lockSession, lock uint64
}

func (r *boxRow) append(b []byte) []byte {
	b = append(b, formatVersion, codec.Bit(r.warned))
	for _, v := range [...]uint64{
		uint64(r.number), uint64(r.lastFolder), uint64(r.folders), uint64(r.created), r.messages,
		r.bytes, r.lockSession, r.lock,
	} {
		b = binary.AppendUvarint(b, v)
	}
	return appendSettings(b, r.settings)
}

func decodeBoxRow(b []byte) (r boxRow, err error) {
	d := decoder{codec.New(b)}
	d.version()
	r.warned = d.Bit()
	r.number, r.lastFolder, r.folders, r.created = d.Uint32(), d.Uint32(), d.Uint32(), d.Millis()
	r.messages, r.bytes, r.lockSession, r.lock = d.Uvarint(), d.Uvarint(), d.Uvarint(), d.Uvarint()
	r.settings = d.settings()
	return r, d.done()
}

// folderRow is a folder. The name of a decoded one is part of what it was read from.
type folderRow struct {
	subscribed bool
	validity   uint32
	next       UID
	modSeq     uint64
	messages   uint64
	bytes      uint64
	unseen     uint64
	deleted    uint64
	retention  int64 // milliseconds
	name       []byte
}

func (r *folderRow) append(b []byte) []byte {
	b = append(b, formatVersion, codec.Bit(r.subscribed))
	for _, v := range [...]uint64{
		uint64(r.validity), uint64(r.next), r.modSeq, r.messages, r.bytes, r.unseen, r.deleted,
		uint64(r.retention),
	} {
		b = binary.AppendUvarint(b, v)
	}
	return append(b, r.name...)
}

func decodeFolderRow(b []byte) (r folderRow, err error) {
	d := decoder{codec.New(b)}
	d.version()
	r.subscribed = d.Bit()
	r.validity, r.next, r.modSeq, r.messages = d.Uint32(), d.Uint32(), d.Uvarint(), d.Uvarint()
	r.bytes, r.unseen, r.deleted = d.Uvarint(), d.Uvarint(), d.Uvarint()
	r.retention = d.retention().Milliseconds()
	r.name = d.Rest()
	if len(r.name) == 0 {
		return r, errCorrupt
	}
	return r, d.done()
}

// messageRow is a message. The fields that change stand in front; tail is what a change, a copy or
// a move takes over as it is: size, date, content and prefix. A listing reads no further than the
// date.
type messageRow struct {
	flags  Flags
	modSeq uint64
	saved  int64
	size   int64 // prefix and content
	date   int64
	tail   []byte // from size on
	rest   []byte // content and prefix
}

func (r *messageRow) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, formatVersion, byte(r.flags)), r.modSeq)
	return append(binary.AppendUvarint(b, uint64(r.saved)), r.tail...)
}

func appendTail(b []byte, size, date int64, c contentID, prefix []byte) []byte {
	for _, v := range [...]uint64{uint64(size), uint64(date), c.index, uint64(c.number)} {
		b = binary.AppendUvarint(b, v)
	}
	return append(b, prefix...)
}

func decodeMessageRow(b []byte) (r messageRow, err error) {
	d := decoder{codec.New(b)}
	d.version()
	r.flags = d.flags()
	r.modSeq, r.saved = d.Uvarint(), d.Millis()
	tail := d.Pos()
	r.size, r.date = d.Millis(), d.Millis()
	r.rest = d.Rest()
	r.tail = d.Since(tail)
	return r, d.done()
}

// body takes the rest apart.
func body(rest []byte) (c contentID, prefix []byte, err error) {
	d := decoder{codec.New(rest)}
	c = contentID{d.Uvarint(), d.Uint32()}
	prefix = d.Rest()
	return c, prefix, d.done()
}

// contentRow says where a content lies and how many messages have it. It is not there when none
// has.
type contentRow struct {
	refs    uint64
	size    int64
	first   int      // the content is the parts from this one on, of the entry in its key
	indexes []uint64 // or, when there are any, part 0 of each of these entries
}

func (r *contentRow) append(b []byte) []byte {
	b = append(b, formatVersion)
	for _, v := range [...]uint64{r.refs, uint64(r.size), uint64(r.first), uint64(len(r.indexes))} {
		b = binary.AppendUvarint(b, v)
	}
	for _, i := range r.indexes {
		b = binary.AppendUvarint(b, i)
	}
	return b
}

func decodeContentRow(b []byte) (r contentRow, err error) {
	d := decoder{codec.New(b)}
	d.version()
	r.refs, r.size, r.first = d.Uvarint(), d.Millis(), int(d.Below(1<<31))
	n := d.Count(1)
	if n > 0 && n != partsOf(r.size) || r.refs == 0 {
		return r, errCorrupt
	}
	for ; n > 0 && !d.Failed(); n-- {
		r.indexes = append(r.indexes, d.Uvarint())
	}
	return r, d.done()
}

// PartRef says where one piece of a content lies: a part of a log entry.
type PartRef struct {
	Index uint64
	Part  int
	Size  int64
}

// part returns piece n of a content.
func (r *contentRow) part(id contentID, n int) PartRef {
	p := PartRef{id.index, r.first + n, min(partSize, r.size-int64(n)*partSize)}
	if len(r.indexes) > 0 {
		p.Index, p.Part = r.indexes[n], 0
	}
	return p
}

// A record row says which copies of a recipient's message were appended.

func appendRecordRow(b []byte, copies uint64) []byte {
	return binary.AppendUvarint(append(b, formatVersion), copies)
}

func decodeRecordRow(b []byte) (copies uint64, err error) {
	d := decoder{codec.New(b)}
	d.version()
	copies = d.Uvarint()
	return copies, d.done()
}

// A chunk row says where a chunk lies and when it came.
type chunkRow struct {
	index uint64
	size  int64
	time  int64
}

func (r *chunkRow) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, formatVersion), r.index)
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(r.size)), uint64(r.time))
}

func decodeChunkRow(b []byte) (r chunkRow, err error) {
	d := decoder{codec.New(b)}
	d.version()
	r = chunkRow{d.Uvarint(), d.Millis(), d.Millis()}
	return r, d.done()
}

// A number row holds the number of a folder, or how many messages of something condemned are left.

func appendNumberRow(b []byte, n uint64) []byte {
	return binary.AppendUvarint(append(b, formatVersion), n)
}

func decodeNumberRow(b []byte) (n uint64, err error) {
	d := decoder{codec.New(b)}
	d.version()
	n = d.Uvarint()
	return n, d.done()
}

// slotRow is a slot's last command: its number and its result, encoded.
type slotRow struct {
	seq    uint64
	result []byte
}

func (l *slotRow) append(b []byte) []byte {
	return append(binary.AppendUvarint(append(b, formatVersion), l.seq), l.result...)
}

func decodeSlotRow(b []byte) (l slotRow, err error) {
	d := decoder{codec.New(b)}
	d.version()
	l.seq = d.Uvarint()
	l.result = d.Rest()
	return l, d.done()
}
