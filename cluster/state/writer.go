package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// Writer is where a state machine's Apply writes. It belongs to the apply goroutine. All that one
// Apply writes goes into one batch with the index of its entry. Keys are relative to the group;
// keys and values are copied before a call returns. Storage errors end the process: a state machine
// that skips a write diverges from the other members'.
type Writer struct {
	of     *Rows
	rows   [prefixLen]byte // the prefix of the state's rows
	batch  *pebble.Batch
	touch  touched
	index  uint64 // of the entry being applied
	octets uint32 // of its parts
	held   io.Closer
	key    []byte // scratch
}

// Begin says which entry is applied from now on, and with which parts.
func (w *Writer) Begin(index uint64, parts [][]byte) {
	w.index, w.octets = index, 0
	for _, p := range parts {
		w.octets += uint32(len(p))
	}
}

// Len is the size in octets of what was written since the last Commit.
func (w *Writer) Len() int { return w.batch.Len() }

// Set writes a row.
func (w *Writer) Set(key, value []byte) {
	off := w.batch.Len()
	op := w.batch.SetDeferred(prefixLen+len(key), len(value))
	w.putKey(op.Key, key)
	copy(op.Value, value)
	w.Check(op.Finish())
	w.touch.note(key, off)
}

// Delete deletes a row.
func (w *Writer) Delete(key []byte) {
	off := w.batch.Len()
	op := w.batch.DeleteDeferred(prefixLen + len(key))
	w.putKey(op.Key, key)
	w.Check(op.Finish())
	w.touch.note(key, off)
}

// DeleteRange deletes the keys in [from, to).
func (w *Writer) DeleteRange(from, to []byte) {
	off := w.batch.Len()
	op := w.batch.DeleteRangeDeferred(prefixLen+len(from), prefixLen+len(to))
	w.putKey(op.Key, from)
	w.putKey(op.Value, to)
	w.Check(op.Finish())
	w.touch.noteRange(from, to, off)
}

func (w *Writer) putKey(dst, key []byte) {
	copy(dst, w.rows[:])
	copy(dst[prefixLen:], key)
}

// Get sees all earlier writes, those of the same batch included. The value is valid until the next
// call of Writer.
func (w *Writer) Get(key []byte) (value []byte, ok bool) {
	if w.held != nil {
		w.Check(w.held.Close())
		w.held = nil
	}
	if value, deleted, found := w.touch.find(w.batch, key); found {
		return value, !deleted
	}
	w.key = append(append(w.key[:0], w.rows[:]...), key...)
	value, closer, err := w.of.store.db.Get(w.key)
	if err == pebble.ErrNotFound {
		return nil, false
	}
	w.Check(err)
	w.held = closer
	return value, true
}

// KeepPart says that the state now refers to a part of the log entry being applied, DropPart that
// it no longer refers to the part of that index. A part that nobody refers to goes when its entry
// does.
func (w *Writer) KeepPart(index uint64, part int) {
	if index != w.index {
		panic(fmt.Sprintf("state: KeepPart of entry %d while entry %d is applied", index,
			w.index))
	}
	w.of.parts.keep(index, part, w.octets)
}

// DropPart undoes KeepPart.
func (w *Writer) DropPart(index uint64, part int) { w.Check(w.of.parts.drop(index, part)) }

// Check ends the process if something failed that an Apply needs.
func (w *Writer) Check(err error) {
	if err != nil {
		w.of.store.opts.Fatal(fmt.Errorf("apply in group %d: %w", w.of.id, err))
	}
}

// Commit puts what was written, and the entry and the term up to which the state is, into Pebble.
func (w *Writer) Commit(index, term uint64) {
	if w.held != nil {
		w.Check(w.held.Close())
		w.held = nil
	}
	key := prefix(w.of.id, spaceApplied)
	w.Check(w.batch.Set(key[:], appliedRow(index, term, w.of.current()), nil))
	w.Check(w.of.parts.commit(w.batch))
	w.batch.Reset()
	w.touch.reset()
}

// appliedRow is the value of the row that says how far the state is and where.
func appliedRow(index, term uint64, s side) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 17), index)
	return append(binary.BigEndian.AppendUint64(b, term), byte(s))
}

// touched finds the newest write of a key in the batch under way. An indexed batch would do this
// too, at several times the cost of the writes themselves; this is a hash table of offsets into the
// batch's own encoding, and most batches are never asked.
type touched struct {
	seed   maphash.Seed
	slots  []uint64 // hash's upper half and offset in the batch; 0 is free
	used   int
	ranges []touchedRange
}

type touchedRange struct {
	from, to []byte
	off      int
}

func newTouched() touched { return touched{seed: maphash.MakeSeed(), slots: make([]uint64, 1024)} }

func (t *touched) reset() {
	if t.used > 0 {
		clear(t.slots)
	}
	t.used, t.ranges = 0, t.ranges[:0]
}

// note gives every write a slot of its own, those of one key too; find looks for the greatest
// offset.
func (t *touched) note(key []byte, off int) {
	if t.used*2 >= len(t.slots) {
		t.grow()
	}
	t.insert(maphash.Bytes(t.seed, key)&^0xffffffff | uint64(off))
	t.used++
}

func (t *touched) insert(slot uint64) {
	mask := uint64(len(t.slots) - 1)
	i := slot >> 32 & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = slot
}

func (t *touched) grow() {
	old := t.slots
	t.slots = make([]uint64, 2*len(old))
	for _, s := range old {
		if s != 0 {
			t.insert(s)
		}
	}
}

func (t *touched) noteRange(from, to []byte, off int) {
	t.ranges = append(t.ranges, touchedRange{bytes.Clone(from), bytes.Clone(to), off})
}

// find returns what the batch says about key, if anything.
func (t *touched) find(b *pebble.Batch, key []byte) (value []byte, deleted, found bool) {
	newest := -1
	if t.used > 0 {
		repr := b.Repr()
		h := maphash.Bytes(t.seed, key) &^ 0xffffffff
		mask := uint64(len(t.slots) - 1)
		for i := h >> 32 & mask; t.slots[i] != 0; i = (i + 1) & mask {
			off := int(t.slots[i] & 0xffffffff)
			if t.slots[i]&^0xffffffff != h || off < newest {
				continue
			}
			if k, v, del := decodeOp(repr[off:]); bytes.Equal(k[prefixLen:], key) {
				newest, value, deleted = off, v, del
			}
		}
	}
	for _, r := range t.ranges {
		if r.off > newest && bytes.Compare(r.from, key) <= 0 && bytes.Compare(key, r.to) < 0 {
			newest, value, deleted = r.off, nil, true
		}
	}
	return value, deleted, newest >= 0
}

// decodeOp reads a set or a delete in Pebble's batch encoding: kind, key and value, each with its
// length before it.
func decodeOp(p []byte) (key, value []byte, deleted bool) {
	deleted = pebble.InternalKeyKind(p[0]) == pebble.InternalKeyKindDelete
	n, w := binary.Uvarint(p[1:])
	key, p = p[1+w:1+w+int(n)], p[1+w+int(n):]
	if deleted {
		return key, nil, true
	}
	n, w = binary.Uvarint(p)
	return key, p[w : w+int(n)], false
}
