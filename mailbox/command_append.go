package mailbox

import (
	"encoding/binary"

	"github.com/postroad/postroad/internal/codec"
)

// deliveryEntry is one content of an append command and the items that get it. The content is
// partsOf(size) parts of the command, or, when chunks is not 0, that many chunks of an upload that
// came before.
type deliveryEntry struct {
	size     int64
	chunks   uint32
	upload   uint64
	from, to int // in command.items
}

// itemEntry is one message to be appended.
type itemEntry struct {
	keyed, over bool
	key         DedupRecord
	copy        byte
	address     []byte
	folder      []byte // name; empty: the inbox
	flags       Flags
	date        int64 // 0: command time
	prefix      []byte
}

const (
	itemKeyed = 1 << iota
	itemOver
)

func appendDrops(b []byte, records []DedupRecord) []byte {
	b = binary.AppendUvarint(b, uint64(len(records)))
	for _, r := range records {
		b = binary.AppendUvarint(append(b, r.ID[:]...), uint64(r.Recipient))
	}
	return b
}

// appendDelivery: n items follow.
func appendDelivery(b []byte, size int64, chunks uint32, upload uint64, n int) []byte {
	for _, v := range [...]uint64{uint64(size), uint64(chunks), upload, uint64(n)} {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func appendItem(b []byte, it *Item) []byte {
	keyed := !it.Key.ID.IsZero()
	b = append(b, codec.Bit(keyed)*itemKeyed|codec.Bit(it.OverQuota)*itemOver)
	if keyed {
		b = binary.AppendUvarint(append(b, it.Key.ID[:]...), uint64(it.Key.Recipient))
		b = append(b, it.Key.Copy)
	}
	b = codec.AppendBytes(codec.AppendBytes(b, it.Mailbox), it.Folder)
	b = binary.AppendUvarint(b, uint64(it.Flags))
	b = binary.AppendUvarint(b, uint64(codec.ToMillis(it.Date)))
	return codec.AppendBytes(b, it.Prefix)
}

func (c *command) readAppend(d *decoder) {
	c.drops, c.deliveries, c.items = c.drops[:0], c.deliveries[:0], c.items[:0]
	for n := d.Count(idLen + 1); n > 0 && !d.Failed(); n-- {
		c.drops = append(c.drops, DedupRecord{d.id(), d.Uint32()})
	}
	for n := d.Count(4); n > 0 && !d.Failed(); n-- {
		e := deliveryEntry{
			size:   d.Millis(),
			chunks: d.Uint32(),
			upload: d.Uvarint(),
			from:   len(c.items),
		}
		for n := d.Count(6); n > 0 && !d.Failed(); n-- {
			c.items = append(c.items, d.item())
		}
		if e.to = len(c.items); e.chunks > maxChunks {
			d.Fail()
		}
		c.deliveries = append(c.deliveries, e)
	}
}

func (d *decoder) item() (it itemEntry) {
	bits := d.Below(itemKeyed | itemOver + 1)
	it.keyed, it.over = bits&itemKeyed != 0, bits&itemOver != 0
	if it.keyed {
		it.key = DedupRecord{d.id(), d.Uint32()}
		if it.copy = d.Octet(); it.copy >= MaxCopies {
			d.Fail()
		}
	}
	if it.address, it.folder = d.text(maxAddress), d.Bytes(); len(it.folder) > maxFolder {
		d.Fail()
	}
	it.flags, it.date = d.flags(), d.Millis()
	if it.prefix = d.Bytes(); len(it.prefix) > maxPrefix {
		d.Fail()
	}
	return it
}

// maxChunks bounds a large content: 8 GiB.
const maxChunks = 16 << 10

func appendChunk(b []byte, upload uint64, seq uint32) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, upload), uint64(seq))
}

func (c *command) readChunk(d *decoder) {
	c.chunk = chunkKey{c.session, d.Uvarint(), uint32(d.Below(maxChunks))}
}

func appendSweep(b []byte, chunks []chunkKey) []byte {
	b = binary.AppendUvarint(b, uint64(len(chunks)))
	for _, c := range chunks {
		b = binary.AppendUvarint(binary.AppendUvarint(b, c.session), c.upload)
		b = binary.AppendUvarint(b, uint64(c.seq))
	}
	return b
}

func (c *command) readSweep(d *decoder) {
	c.chunks = c.chunks[:0]
	for n := d.Count(3); n > 0 && !d.Failed(); n-- {
		c.chunks = append(c.chunks, chunkKey{d.Uvarint(), d.Uvarint(), uint32(d.Below(maxChunks))})
	}
}
