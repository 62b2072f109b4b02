package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// A member that is too far behind for the log takes over the state of another: the rows, and the
// content that they refer to, are written aside. When all is on stable storage that is noted
// (sideKey); only then does raft get its marker, and Switch makes the new side the state with one
// batch. A crash before the note leaves rows that the next start deletes, one after it what the
// next start switches to.

const sideKey = "side"

// staged is a state that was taken over as a whole.
type staged struct {
	side          side
	applied, term uint64
}

func (a staged) encode() []byte { return appliedRow(a.applied, a.term, a.side) }

// pending returns the state that lies aside, complete, and is not the one in use.
func (r *Rows) pending() (*staged, error) {
	v, err := r.log.Get([]byte(sideKey))
	if err != nil || len(v) != 17 {
		return nil, err
	}
	a := &staged{side(v[16]), binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])}
	if a.side == r.current() {
		return nil, nil
	}
	return a, nil
}

// Staged returns as of which entry a state lies aside, complete; 0: none does.
func (r *Rows) Staged() (applied uint64, err error) {
	a, err := r.pending()
	if a == nil || err != nil {
		return 0, err
	}
	return a.applied, nil
}

// Side returns in which of its two places the state is, 0 or 1. Each taking-over changes it.
func (r *Rows) Side() int { return int(r.current()) }

// use says where the state is from now on.
func (r *Rows) use(s side) {
	r.side.Store(uint32(s))
	r.w.rows = r.prefix()
	r.parts.mu.Lock()
	defer r.parts.mu.Unlock()
	r.parts.side = s
	clear(r.parts.entries)
	r.parts.order = nil
}

// Switch makes the state that lies aside the state, and returns its index and term. It is called
// where entries are applied, after Staged has told of one.
func (r *Rows) Switch() (index, term uint64, err error) {
	a, err := r.pending()
	if err == nil && a == nil {
		err = errors.New("none lies aside")
	}
	if err == nil {
		err = errors.Join(r.parts.countSide(a.side.other(), -1), r.replace(a))
	}
	if err != nil {
		return 0, 0, fmt.Errorf("switch group %d to the state that it took over: %w", r.id, err)
	}
	return a.applied, a.term, nil
}

func (r *Rows) replace(a *staged) error {
	batch := r.store.db.NewBatch()
	defer batch.Close()
	key := prefix(r.id, spaceApplied)
	if err := errors.Join(r.deleteSide(batch, a.side.other()), batch.Set(key[:], a.encode(), nil),
		batch.Commit(pebble.NoSync)); err != nil {
		return err
	}
	r.use(a.side)
	return r.store.Flush()
}

// Tidy ends, after a start and before CountParts, what a crash interrupted. The state is as of
// entry applied, and is needed as of another one: if that takes the state that lies aside, Tidy
// switches to it and returns its index and term; 0: it did not.
func (r *Rows) Tidy(applied, needed uint64) (index, term uint64, err error) {
	a, err := r.pending()
	if err != nil {
		return 0, 0, err
	}
	if a != nil && applied < needed && a.applied >= needed {
		return a.applied, a.term, r.replace(a)
	}
	if a != nil {
		err = r.log.Set([]byte(sideKey), nil)
	}
	return 0, 0, errors.Join(err, r.discard(r.current().other()))
}

// Take lays aside the state of another member, as of an entry or later, and returns as of which.
// ask requests it and has the answer read. One call at a time.
func (r *Rows) Take(least uint64, ask func(read func(io.Reader) error) error) (uint64, error) {
	a, err := r.pending()
	if err != nil {
		return 0, err
	}
	to := r.current().other()
	if a != nil {
		if err := errors.Join(r.log.Set([]byte(sideKey), nil),
			r.parts.countSide(to, -1)); err != nil {
			return 0, err
		}
	}
	if err := r.discard(to); err != nil {
		return 0, err
	}
	t := &taking{of: r, to: to, batch: r.store.db.NewBatch()}
	defer t.batch.Close()
	err = ask(t.read)
	if err == nil && t.end.applied < least {
		err = fmt.Errorf("it has the state as of entry %d, entry %d was asked for", t.end.applied,
			least)
	}
	if err != nil {
		return 0, errors.Join(err, r.parts.countSide(to, -1), r.discard(to))
	}
	if err := r.store.Flush(); err != nil {
		return 0, err
	}
	return t.end.applied, r.log.Set([]byte(sideKey), t.end.encode())
}

func (r *Rows) deleteSide(batch *pebble.Batch, s side) error {
	var err error
	for _, space := range []byte{spaceState, spaceParts} {
		p := prefix(r.id, s.space(space))
		err = errors.Join(err, batch.DeleteRange(p[:], prefixEnd(p), nil))
	}
	return err
}

func (r *Rows) discard(s side) error {
	batch := r.store.db.NewBatch()
	defer batch.Close()
	return errors.Join(r.deleteSide(batch, s), batch.Commit(pebble.NoSync))
}
