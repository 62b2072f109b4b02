package state

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postroad/postroad/cluster/logstore"
)

// Frames of a state on its way.
const (
	frameRow = 'r' // key, value
	// index, octets of all its parts, number of parts; each: 0 or 1 and its length, and then its
	// octets
	framePart = 'p'
	frameEnd  = 'e' // applied, term: nothing is missing

	stateVersion = 1
	takeBytes    = 1 << 20 // a batch, or a write to the log
	maxFrame     = 32 << 20
)

// taking is a state being taken over.
type taking struct {
	of     *Rows
	to     side
	in     *bufio.Reader
	batch  *pebble.Batch
	moving []logstore.Moving
	parts  [][][]byte
	kept   []*keptEntry
	octets int
	end    staged
}

var errBadState = errors.New("malformed state on its way")

func (t *taking) read(r io.Reader) error {
	t.in = bufio.NewReaderSize(r, 64<<10)
	if v, err := t.in.ReadByte(); err != nil || v != stateVersion {
		return errors.Join(errBadState, err)
	}
	for {
		kind, err := t.in.ReadByte()
		if err != nil {
			return fmt.Errorf("%w: cut off: %w", errBadState, err)
		}
		switch kind {
		case frameRow:
			err = t.row()
		case framePart:
			err = t.part()
		case frameEnd:
			if err = t.flush(); err == nil {
				t.end.side = t.to
				t.end.applied, t.end.term, err = t.two()
			}
			return err
		default:
			return errBadState
		}
		if err != nil {
			return err
		}
	}
}

func (t *taking) two() (a, b uint64, err error) {
	if a, err = binary.ReadUvarint(t.in); err == nil {
		b, err = binary.ReadUvarint(t.in)
	}
	return a, b, err
}

func (t *taking) octetsOf(n uint64) ([]byte, error) {
	if n > maxFrame {
		return nil, errBadState
	}
	b := make([]byte, n)
	_, err := io.ReadFull(t.in, b)
	return b, err
}

func (t *taking) row() error {
	k, v, err := t.two()
	if err != nil || k > maxFrame || v > maxFrame {
		return errors.Join(errBadState, err)
	}
	b, err := t.octetsOf(k + v)
	if err != nil {
		return err
	}
	p := prefix(t.of.id, t.to.space(spaceState))
	if err := t.batch.Set(append(p[:], b[:k]...), b[k:], nil); err != nil {
		return err
	}
	if t.batch.Len() < takeBytes {
		return nil
	}
	return t.commit()
}

func (t *taking) commit() error {
	err := t.batch.Commit(pebble.NoSync)
	t.batch.Reset()
	return err
}

func (t *taking) part() error {
	index, octets, err := t.two()
	if err != nil || octets > 1<<32-1 {
		return errors.Join(errBadState, err)
	}
	n, err := binary.ReadUvarint(t.in)
	if err != nil || n == 0 || n > 1<<16 {
		return errors.Join(errBadState, err)
	}
	e := &keptEntry{index: index, octets: uint32(octets), live: make([]uint64, (n+63)/64)}
	parts := make([][]byte, n)
	for i := range parts {
		live, size, err := t.two()
		if err != nil || live > 1 {
			return errors.Join(errBadState, err)
		}
		if live == 0 {
			continue
		}
		if parts[i], err = t.octetsOf(size); err != nil {
			return err
		}
		e.live[i>>6] |= 1 << (i & 63)
		t.octets += int(size)
	}
	e.place.Parts = uint32(n)
	t.moving = append(t.moving, logstore.Moving{Index: index, Keep: e.kept()})
	t.parts, t.kept = append(t.parts, parts), append(t.kept, e)
	if t.octets < takeBytes && len(t.moving) < 1000 {
		return nil
	}
	return t.flush()
}

// flush writes the content that was gathered to the log, and the rows that say where.
func (t *taking) flush() error {
	if len(t.moving) > 0 {
		if err := t.of.log.Import(t.moving, t.parts); err != nil {
			return err
		}
	}
	for i, e := range t.kept {
		e.place = t.moving[i].New
		if err := t.batch.Set(appendPartsKey(nil, t.of.id, t.to, e.index), e.encode(nil),
			nil); err != nil {
			return err
		}
	}
	t.moving, t.parts, t.kept, t.octets = nil, nil, nil, 0
	return t.commit()
}
