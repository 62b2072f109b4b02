package remote

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// Bounds of what is read from the wire, in octets.
const (
	maxWord    = 4 << 10 // addresses, names, prefixes: those of the store are the same or lower
	maxContent = 8 << 30
)

var (
	errTooMuch   = errors.New("more content than is appended together")
	errMalformed = errors.New("a malformed request or answer about mailboxes")
)

// reader reads values until one is malformed or missing; then err is set and all that follows is
// zero.
type reader struct {
	*bufio.Reader
	err error
}

func newReader(r io.Reader) *reader { return &reader{Reader: bufio.NewReaderSize(r, 16<<10)} }

func (r *reader) fail(err error) {
	if r.err == nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		r.err = fmt.Errorf("%w: %w", errMalformed, err)
	}
}

// more reports whether there is another octet, and whether nothing has failed.
func (r *reader) more() bool {
	if r.err != nil {
		return false
	}
	_, err := r.Peek(1)
	if err != nil && err != io.EOF {
		r.fail(err)
	}
	return err == nil
}

func (r *reader) octet() (c byte) {
	if r.err == nil {
		var err error
		if c, err = r.ReadByte(); err != nil {
			r.fail(err)
		}
	}
	return c
}

// count reads a number of at most most.
func (r *reader) count(most uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(r)
	if err != nil {
		r.fail(err)
		return 0
	}
	if v > most {
		r.fail(fmt.Errorf("%d where %d is the most", v, most))
		return 0
	}
	return v
}

func (r *reader) signed() int64 {
	if r.err != nil {
		return 0
	}
	v, err := binary.ReadVarint(r)
	if err != nil {
		r.fail(err)
	}
	return v
}

// fill reads exactly as much as b has room for.
func (r *reader) fill(b []byte) {
	if r.err != nil {
		return
	}
	if _, err := io.ReadFull(r, b); err != nil {
		r.fail(err)
	}
}

func (r *reader) word() []byte {
	n := r.count(maxWord)
	if n == 0 {
		return nil
	}
	b := make([]byte, n)
	r.fill(b)
	return b
}

func appendWord[T string | []byte](b []byte, w T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(w))), w...)
}

// appendHead appends a delivery without its content, which follows.
func appendHead(b []byte, shard int, d *mailbox.Delivery) []byte {
	b = binary.AppendUvarint(b, uint64(shard))
	b = binary.AppendUvarint(b, uint64(d.Content.Size))
	b = binary.AppendUvarint(b, uint64(len(d.Items)))
	for i := range d.Items {
		it := &d.Items[i]
		b = append(b, it.Key.ID[:]...)
		b = binary.AppendUvarint(b, uint64(it.Key.Recipient))
		var over byte
		if it.OverQuota {
			over = 1
		}
		b = append(b, it.Key.Copy, byte(it.Flags), over)
		var date int64
		if !it.Date.IsZero() {
			date = it.Date.UnixMilli()
		}
		b = binary.AppendVarint(b, date)
		b = appendWord(appendWord(appendWord(b, it.Mailbox), it.Folder), it.Prefix)
	}
	return b
}

// head reads what appendHead wrote.
func (r *reader) head() (shard int, d *mailbox.Delivery) {
	shard = int(r.count(1 << 16))
	d = &mailbox.Delivery{Content: mailbox.Content{Size: int64(r.count(maxContent))}}
	n := r.count(mailbox.MaxItems)
	for range n {
		if r.err != nil {
			break
		}
		var it mailbox.Item
		r.fill(it.Key.ID[:])
		it.Key.Recipient = uint32(r.count(1<<32 - 1))
		it.Key.Copy, it.Flags = r.octet(), mailbox.Flags(r.octet())
		it.OverQuota = r.octet() == 1
		if date := r.signed(); date != 0 {
			it.Date = time.UnixMilli(date)
		}
		it.Mailbox, it.Folder, it.Prefix = string(r.word()), string(r.word()), r.word()
		d.Items = append(d.Items, it)
	}
	return shard, d
}

// content reads the octets behind a head.
func (r *reader) content(c *mailbox.Content) {
	if r.err == nil {
		c.Bytes = make([]byte, c.Size)
		r.fill(c.Bytes)
	}
}

// appendOutcome appends what became of a delivery.
func appendOutcome(b []byte, results []mailbox.Result, err error) []byte {
	if b = append(b, number(err)); err != nil {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(results)))
	for _, x := range results {
		var bits byte
		if x.InInbox {
			bits |= 1
		}
		if x.Warn {
			bits |= 2
		}
		b = binary.AppendUvarint(append(b, byte(x.Code), bits), uint64(x.UID))
	}
	return b
}

// outcome reads the results of a delivery of so many items.
func (r *reader) outcome(items int) ([]mailbox.Result, error) {
	if err := numbered(r.octet(), ""); err != nil || r.err != nil {
		return nil, err
	}
	if n := r.count(mailbox.MaxItems); n != uint64(items) {
		r.fail(fmt.Errorf("%d results of %d items", n, items))
		return nil, r.err
	}
	results := make([]mailbox.Result, items)
	for i := range results {
		code, bits := r.octet(), r.octet()
		results[i] = mailbox.Result{
			Code:    mailbox.Code(code),
			UID:     mailbox.UID(r.count(1<<32 - 1)),
			InInbox: bits&1 != 0,
			Warn:    bits&2 != 0,
		}
	}
	return results, r.err
}

// AppendRecords appends dedup records; they end with the octets.
func AppendRecords(b []byte, records []mailbox.DedupRecord) []byte {
	for _, x := range records {
		b = binary.AppendUvarint(append(b, x.ID[:]...), uint64(x.Recipient))
	}
	return b
}

// maxRecords bounds one request about records.
const maxRecords = 10_000

// ReadRecords reads what AppendRecords wrote.
func ReadRecords(from io.Reader) (all []mailbox.DedupRecord, err error) {
	r := newReader(from)
	for r.more() {
		var x mailbox.DedupRecord
		r.fill(x.ID[:])
		x.Recipient = uint32(r.count(1<<32 - 1))
		if all = append(all, x); len(all) > maxRecords {
			r.fail(fmt.Errorf("more than %d records", maxRecords))
		}
	}
	return all, r.err
}

// appendMessage appends one message of a listing.
func appendMessage(b []byte, m *mailbox.Message) []byte {
	b = append(binary.AppendUvarint(b, uint64(m.UID)), byte(m.Flags))
	b = binary.AppendUvarint(binary.AppendUvarint(b, m.ModSeq), uint64(m.Size))
	return binary.AppendVarint(binary.AppendVarint(b, m.Date), m.Saved)
}

// ReadMessages reads the answer of PathMessages: an error's number, messages, and a zero for their
// end.
func ReadMessages(from io.Reader) (all []mailbox.Message, err error) {
	r := newReader(from)
	if err := numbered(r.octet(), ""); err != nil {
		return nil, err
	}
	for r.err == nil {
		m := mailbox.Message{UID: mailbox.UID(r.count(1<<32 - 1))}
		if m.UID == 0 {
			break
		}
		m.Flags = mailbox.Flags(r.octet())
		m.ModSeq, m.Size = r.count(1<<64-1), int64(r.count(maxContent+maxWord))
		m.Date, m.Saved = r.signed(), r.signed()
		all = append(all, m)
	}
	return all, r.err
}
