package logstore

import (
	"bytes"
	"fmt"
	"slices"
)

// The last block of a log may be bad for two reasons: it was torn, since the power failed before
// its sync had ended, and then nobody was told that it is there; or it was damaged later, and then
// what was in it had perhaps been acknowledged. The high-water mark tells which when it is as new
// as the block. When it is older, the boot tells: a process that is killed leaves no torn block,
// for the kernel ends what it has begun to write, or nothing of it is there, or a first part of it
// where it was copied page by page; only a new boot can be one after a loss of power.

// Tail is a last block that is bad and may have been acknowledged. The log ends before it.
type Tail struct {
	Block   uint64 // its number
	Segment uint64
	Offset  int64
	Proven  bool // the high-water mark says that it had been on stable storage
	// Groups are those that the block had something of; nil: that cannot be told.
	Groups []uint64

	torn bool // it was not acknowledged after all
}

func (t *Tail) kind() doubtKind {
	switch {
	case t.torn:
		return doubtTorn
	case t.Proven:
		return doubtProven
	}
	return doubtOpen
}

func (t *Tail) String() string {
	s := fmt.Sprintf(
		"the last block of the log (block %d, in segment %d at %d) does not verify",
		t.Block,
		t.Segment,
		t.Offset,
	)
	if t.Proven {
		return s + ", and had been on stable storage"
	}
	return s + ", and this was no loss of power: it may have been acknowledged"
}

// Tail returns what Open found wrong with the last block and did not refuse; nil: nothing. The
// high-water mark keeps it until the next block is written: whoever opens the store first writes
// down what follows from it.
func (s *Store) Tail() *Tail {
	if s.tail != nil && s.tail.torn {
		return nil
	}
	return s.tail
}

// lookAtTail finds out what a bad block at the end of the log is.
func (r *recovery) lookAtTail(f *file, id uint64, off int64) error {
	h, tried, err := r.attempt(f, id, off)
	if err != nil || !tried || !checksTail {
		return err
	}
	t := &Tail{Block: r.seq + 1, Segment: id, Offset: off, Proven: r.mark.block == r.seq+1}
	partial, err := r.dissect(t, f, h)
	if err != nil {
		return err
	}
	r.s.tail = t
	switch known := r.mark.doubt == t.Block; {
	case t.Proven:
	case known && r.mark.kind == doubtTorn: // said before, and nothing was written since
		t.torn = true
	case known:
	case r.mark.number > 0 && !r.mark.sameBoot(r.s.opts.Boot):
		t.torn = true
		r.s.opts.Logf(
			"the last block of the log (block %d) is torn, as a loss of power leaves it: "+
				"nothing in it had been acknowledged",
			t.Block,
		)
	case partial:
		t.torn = true
		r.s.opts.Logf(
			"the last block of the log (block %d) was written in part when the process ended: "+
				"nothing in it had been acknowledged",
			t.Block,
		)
	}
	return nil
}

// rememberTail takes a tail from the mark: an Open found it, and nothing was written since.
func (r *recovery) rememberTail() {
	if r.mark.doubt != r.seq+1 || r.mark.kind == doubtTorn {
		return
	}
	if r.s.tail == nil {
		r.s.tail = &Tail{Block: r.mark.doubt, Segment: r.id}
	}
	r.s.tail.Proven = r.s.tail.Proven || r.mark.kind == doubtProven
}

// attempt reports whether somebody began to write the next block at off: enough of a header is
// there. What is left in a recycled file is of another segment and has lower numbers.
func (r *recovery) attempt(f *file, id uint64, off int64) (h header, tried bool, err error) {
	head := make([]byte, headerSize)
	if off+headerSize > r.s.opts.SegmentSize {
		return h, false, nil
	}
	if err := readFull(f, head, off); err != nil {
		if isBad(err) {
			err = nil
		}
		return h, false, err
	}
	h = readHeader(head)
	right := 0
	for _, ok := range []bool{le.Uint32(head) == blockMagic, h.segment == id, h.seq == r.seq+1,
		h.synced == r.seq, h.prev == r.crc} {
		if ok {
			right++
		}
	}
	return h, right > 2, nil
}

// dissect finds out whom the bad block concerns, if its records verify, and whether it is what a
// write leaves that ended early: nothing from some page on, and before that all that can be
// verified does.
func (r *recovery) dissect(t *Tail, f *file, h header) (partial bool, err error) {
	metaEnd := headerSize + int64(h.metaLen)
	if t.Offset+metaEnd+int64(h.payloadLen) > r.s.opts.SegmentSize {
		return false, nil
	}
	block := make([]byte, h.size())
	if err := readFull(f, block, t.Offset); err != nil {
		if isBad(err) {
			err = nil
		}
		return false, err
	}
	written := pageUp(len(bytes.TrimRight(block, "\x00")))
	partial = written < len(block)
	if h.sum(block) != h.crc {
		return partial && written < int(metaEnd), nil
	}
	t.Groups = []uint64{}
	at := int(metaEnd)
	for meta := block[headerSize:metaEnd]; len(meta) > 0; {
		rec, err := parseRecord(meta)
		if err != nil {
			t.Groups = nil // it was written like that
			return false, nil
		}
		if rec.kind != kindStart && rec.kind != kindWindow &&
			!slices.Contains(t.Groups, rec.group) {
			t.Groups = append(t.Groups, rec.group)
		}
		for i := range rec.count() {
			n, crc := rec.part(i)
			if n > len(block)-at || at+n <= written && checksum(block[at:at+n]) != crc {
				return false, nil
			}
			at += n
		}
		meta = meta[rec.size:]
	}
	return partial, nil
}

// checkSize refuses a segment whose file is shorter than when it was begun: its last page is
// written before its first block. As long as nothing of the segment was on stable storage, a loss
// of power may have taken that page and left the block.
func (r *recovery) checkSize(f *file, id uint64) error {
	if max(r.mark.block, r.synced) < r.first && !r.mark.sameBoot(r.s.opts.Boot) {
		return nil
	}
	err := readFull(f, make([]byte, 1), r.s.opts.SegmentSize-1)
	if isBad(err) {
		return fmt.Errorf(
			"%w: the file of segment %d, the newest, is cut off: it has less than %d octets",
			ErrLost,
			id,
			r.s.opts.SegmentSize,
		)
	}
	return err
}
