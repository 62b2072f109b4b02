package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postroad/postroad/cluster/logstore"
)

// Rows is the state of one group. Reading is safe for use by several goroutines. One goroutine at a
// time writes: the one that applies entries, or, before there is one, the one that starts the
// group.
type Rows struct {
	store *Store
	id    uint64
	log   *logstore.Group
	parts partRefs
	w     Writer
	side  atomic.Uint32 // where the state is (keys.go)
	// by whom the state is taken over now
	transfers transfers
}

// Rows returns the state of a group, whose entries are in log.
func (s *Store) Rows(id uint64, log *logstore.Group) *Rows {
	r := &Rows{store: s, id: id, log: log}
	r.parts = partRefs{of: r, entries: map[uint64]*keptEntry{}}
	r.w = Writer{of: r, batch: s.db.NewBatch(), touch: newTouched()}
	r.use(0)
	return r
}

// Load finds out where the state is and as of which entry, and returns that one's index and term;
// 0: nothing was applied.
func (r *Rows) Load() (applied, term uint64, err error) {
	key := prefix(r.id, spaceApplied)
	v, closer, err := r.store.db.Get(key[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("applied index of group %d: %w", r.id, err)
	}
	defer closer.Close()
	if len(v) != 17 || v[16] > 1 {
		return 0, 0, fmt.Errorf("applied index of group %d is malformed", r.id)
	}
	r.use(side(v[16]))
	return binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:]), nil
}

// Writer is where entries are applied.
func (r *Rows) Writer() *Writer { return &r.w }

// Renew has the state begin with nothing, of the entries of another log. Erase went before.
func (r *Rows) Renew(log *logstore.Group) {
	r.log = log
	r.use(0)
}

// Get reads a row.
func (r *Rows) Get(key []byte) (value []byte, ok bool, err error) {
	p := r.prefix()
	k := append(append(make([]byte, 0, prefixLen+len(key)), p[:]...), key...)
	v, closer, err := r.store.db.Get(k)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return append([]byte(nil), v...), true, closer.Close()
}

// Scan calls fn with the rows of [from, to) in order until it returns false; a nil to means the
// end. The slices are valid during the call. It sees the state of one moment.
func (r *Rows) Scan(from, to []byte, fn func(k, v []byte) bool) error {
	p := r.prefix()
	opts := &pebble.IterOptions{LowerBound: append(p[:prefixLen:prefixLen], from...),
		UpperBound: prefixEnd(p)}
	if to != nil {
		opts.UpperBound = append(p[:prefixLen:prefixLen], to...)
	}
	it, err := r.store.db.NewIter(opts)
	if err != nil {
		return err
	}
	for ok := it.First(); ok && fn(it.Key()[prefixLen:], it.Value()); ok = it.Next() {
	}
	return it.Close()
}

// ReadPart appends a content part to buf: from memory while the entry is recent, else from disk,
// checksum verified.
func (r *Rows) ReadPart(buf []byte, index uint64, part int) ([]byte, error) {
	return r.parts.read(buf, index, part)
}

// CountParts tells the log store, after a start, what of its segments the state refers to.
func (r *Rows) CountParts() error { return r.parts.countSide(r.current(), +1) }

// UncountParts tells it that nothing is referred to any more. Erase follows.
func (r *Rows) UncountParts() error {
	return errors.Join(r.parts.countSide(0, -1), r.parts.countSide(1, -1))
}

// Erase deletes the state. It may be repeated after a crash.
func (r *Rows) Erase() error {
	batch := r.store.db.NewBatch()
	defer batch.Close()
	key := prefix(r.id, spaceApplied)
	return errors.Join(r.deleteSide(batch, 0), r.deleteSide(batch, 1), batch.Delete(key[:], nil),
		batch.Commit(pebble.NoSync))
}

// Close lets go of what writing takes. The rows stay.
func (r *Rows) Close() error { return r.w.batch.Close() }

func (r *Rows) current() side { return side(r.side.Load()) }

func (r *Rows) prefix() [prefixLen]byte { return prefix(r.id, r.current().space(spaceState)) }

// each calls fn with the rows of one space.
func (r *Rows) each(from pebble.Reader, space byte, fn func(k, v []byte) error) error {
	p := prefix(r.id, space)
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: p[:], UpperBound: prefixEnd(p)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = fn(it.Key()[prefixLen:], it.Value())
	}
	return errors.Join(err, it.Close())
}
