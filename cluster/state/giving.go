package state

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A state of so many octets is large. So many of them are given at a time: disk and network have
// other things to do.
const (
	largeState = 64 << 20
	largeTurns = 2
)

// Give writes the state as of now for a member. A large one waits for its turn until ctx ends.
func (r *Rows) Give(ctx context.Context, to uint16, w io.Writer) error {
	of, err := r.weigh()
	if err != nil {
		return err
	}
	if of >= largeState {
		select {
		case r.store.large <- struct{}{}:
			defer func() { <-r.store.large }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	snapshot := r.store.db.NewSnapshot()
	defer snapshot.Close()
	applied := prefix(r.id, spaceApplied)
	v, closer, err := snapshot.Get(applied[:])
	if err != nil {
		return fmt.Errorf("group %d has no state to give: %w", r.id, err)
	}
	row := append([]byte(nil), v...)
	if err := closer.Close(); err != nil {
		return err
	}
	s := side(row[16])
	w, end := r.transfers.begin(to, w, of)
	defer end()
	out := bufio.NewWriterSize(w, 64<<10)
	out.WriteByte(stateVersion)
	var b []byte
	err = r.each(snapshot, s.space(spaceState), func(k, v []byte) error {
		b = binary.AppendUvarint(append(b[:0], frameRow), uint64(len(k)))
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(append(b, k...), v...)
		_, err := out.Write(b)
		return err
	})
	if err != nil {
		return err
	}
	err = r.each(snapshot, s.space(spaceParts), func(k, v []byte) error {
		e, err := decodeKept(binary.BigEndian.Uint64(k), v)
		if err == nil {
			err = r.giveParts(out, e)
		}
		return err
	})
	if err != nil {
		return err
	}
	b = binary.AppendUvarint(append(b[:0], frameEnd), binary.BigEndian.Uint64(row))
	b = binary.AppendUvarint(b, binary.BigEndian.Uint64(row[8:]))
	out.Write(b)
	return out.Flush()
}

// giveParts writes the parts of one entry. One that was dropped since the snapshot is sent empty:
// an entry after it drops it there, too.
func (r *Rows) giveParts(out *bufio.Writer, e *keptEntry) error {
	var b, part []byte
	b = binary.AppendUvarint(append(b, framePart), e.index)
	b = binary.AppendUvarint(b, uint64(e.octets))
	b = binary.AppendUvarint(b, uint64(e.place.Parts))
	for i := range int(e.place.Parts) {
		if !e.has(i) {
			b = append(b, 0, 0)
			continue
		}
		var err error
		if part, err = r.parts.read(part[:0], e.index, i); err != nil &&
			!errors.Is(err, ErrNoPart) {
			return err
		}
		b = binary.AppendUvarint(append(b, 1), uint64(len(part)))
		if _, err := out.Write(append(b, part...)); err != nil {
			return err
		}
		b = b[:0]
	}
	_, err := out.Write(b)
	return err
}

// weigh says about how many octets the state has.
func (r *Rows) weigh() (int64, error) {
	s := r.current()
	p := prefix(r.id, s.space(spaceState))
	rows, err := r.store.db.EstimateDiskUsage(p[:], prefixEnd(p))
	if err != nil {
		return 0, err
	}
	octets := int64(rows)
	err = r.each(r.store.db, s.space(spaceParts), func(k, v []byte) error {
		e, err := decodeKept(binary.BigEndian.Uint64(k), v)
		if err == nil {
			octets += e.kept()
		}
		return err
	})
	return octets, err
}
