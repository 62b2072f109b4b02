package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postroad/postroad/cluster/logstore"
)

// A member that is too far behind for the log takes over the state of another: the rows, and the
// content that they refer to, come over RPC and are written aside. When all is on stable storage
// the node notes it (sideKey); only then does raft get its marker, and Restore switches to the new
// side with one batch. A crash before the note leaves rows that the next start deletes, one after
// it what the next start switches to.

const sideKey = "side"

// stagedState is a state that was taken over as a whole.
type stagedState struct {
	side          side
	applied, term uint64
}

func (a stagedState) encode() []byte { return appliedRow(a.applied, a.term, a.side) }

// pending returns the state that lies aside, complete, and is not the one in use.
func (g *Group) pending() (*stagedState, error) {
	v, err := g.log.Get([]byte(sideKey))
	if err != nil || len(v) != 17 {
		return nil, err
	}
	a := &stagedState{side(v[16]), binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])}
	if uint32(a.side) == g.side.Load() {
		return nil, nil
	}
	return a, nil
}

// useSide says where the state is from now on.
func (g *Group) useSide(s side) {
	g.side.Store(uint32(s))
	g.fsm.w.rows = g.statePrefix()
	g.parts.mu.Lock()
	defer g.parts.mu.Unlock()
	g.parts.side = s
	clear(g.parts.entries)
	g.parts.order = nil
}

// switchSide makes the state that lies aside the state. On the apply goroutine, or before the group
// runs.
func (g *Group) switchSide(a *stagedState) error {
	batch := g.node.db.NewBatch()
	defer batch.Close()
	key := prefix(g.id, spaceApplied)
	if err := errors.Join(g.deleteSide(batch, a.side.other()), batch.Set(key[:], a.encode(), nil),
		batch.Commit(pebble.NoSync)); err != nil {
		return err
	}
	g.useSide(a.side)
	g.fsm.applied, g.fsm.term = a.applied, a.term
	g.fsm.appliedIndex.Store(a.applied)
	return g.node.flush()
}

func (g *Group) deleteSide(batch *pebble.Batch, s side) error {
	var err error
	for _, space := range []byte{spaceState, spaceParts} {
		p := prefix(g.id, s.space(space))
		err = errors.Join(err, batch.DeleteRange(p[:], prefixEnd(p), nil))
	}
	return err
}

// tidySides ends, after a start and before parts are counted, what a crash interrupted: the state
// is needed as of that entry.
func (g *Group) tidySides(needed uint64) error {
	a, err := g.pending()
	if err != nil {
		return err
	}
	if a != nil && g.fsm.applied < needed && a.applied >= needed {
		return g.switchSide(a)
	}
	if a != nil {
		err = g.log.Set([]byte(sideKey), nil)
	}
	return errors.Join(err, g.discard(side(g.side.Load()).other()))
}

func (g *Group) discard(s side) error {
	batch := g.node.db.NewBatch()
	defer batch.Close()
	return errors.Join(g.deleteSide(batch, s), batch.Commit(pebble.NoSync))
}

// fetch takes over the state of another member, as of an entry or later, and lays it aside. term is
// that of the entry, 0 if who asks does not say.
func (g *Group) fetch(ctx context.Context, from uint16, index, term uint64) error {
	g.fetching.Lock()
	defer g.fetching.Unlock()
	terms, err := g.compare(ctx, from)
	if err != nil {
		return err
	}
	if g.running.Load() && g.hasEntry(index, term) {
		return nil // the leader repeats itself (installed.go)
	}
	a, err := g.pending()
	if err != nil {
		return err
	}
	to := side(g.side.Load()).other()
	if a != nil {
		if a.applied >= index {
			g.fetched.Store(terms)
			return nil
		}
		if err := errors.Join(g.log.Set([]byte(sideKey), nil),
			g.parts.countSide(to, -1)); err != nil {
			return err
		}
	}
	if err := g.discard(to); err != nil {
		return err
	}
	g.fetched.Store(terms)
	g.node.opts.Logf("group %d: taking over the state from member %d, as of entry %d or later",
		g.id, from, index)
	t := &taking{g: g, to: to, batch: g.node.db.NewBatch()}
	defer t.batch.Close()
	err = g.node.Call(ctx, from, http.MethodGet, fmt.Sprintf("/cluster/state?group=%d", g.id), nil,
		t.read)
	if err == nil && t.end.applied < index {
		err = fmt.Errorf("member %d has the state as of entry %d, entry %d was asked for", from,
			t.end.applied, index)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("take over the state of group %d: %w", g.id, err),
			g.parts.countSide(to, -1), g.discard(to))
	}
	if err := g.node.flush(); err != nil {
		return err
	}
	if err := g.log.Set([]byte(sideKey), t.end.encode()); err != nil {
		return err
	}
	g.node.opts.Logf("group %d: has the state as of entry %d", g.id, t.end.applied)
	return nil
}

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
	g      *Group
	to     side
	in     *bufio.Reader
	batch  *pebble.Batch
	moving []logstore.Moving
	parts  [][][]byte
	kept   []*keptEntry
	octets int
	end    stagedState
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
	p := prefix(t.g.id, t.to.space(spaceState))
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
		if err := t.g.log.Import(t.moving, t.parts); err != nil {
			return err
		}
	}
	for i, e := range t.kept {
		e.place = t.moving[i].New
		if err := t.batch.Set(appendPartsKey(nil, t.g.id, t.to, e.index), e.encode(nil),
			nil); err != nil {
			return err
		}
	}
	t.moving, t.parts, t.kept, t.octets = nil, nil, nil, 0
	return t.commit()
}

// giveState writes the state as of now for a member. A large one waits for its turn until ctx ends.
func (g *Group) giveState(ctx context.Context, to uint16, w io.Writer) error {
	of, err := g.weigh()
	if err != nil {
		return err
	}
	if of >= largeState {
		select {
		case g.node.large <- struct{}{}:
			defer func() { <-g.node.large }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	snapshot := g.node.db.NewSnapshot()
	defer snapshot.Close()
	applied := prefix(g.id, spaceApplied)
	v, closer, err := snapshot.Get(applied[:])
	if err != nil {
		return fmt.Errorf("group %d has no state to give: %w", g.id, err)
	}
	row := append([]byte(nil), v...)
	if err := closer.Close(); err != nil {
		return err
	}
	s := side(row[16])
	w, end := g.transfers.begin(to, w, of)
	defer end()
	out := bufio.NewWriterSize(w, 64<<10)
	out.WriteByte(stateVersion)
	var b []byte
	err = g.each(snapshot, s.space(spaceState), func(k, v []byte) error {
		b = binary.AppendUvarint(append(b[:0], frameRow), uint64(len(k)))
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(append(b, k...), v...)
		_, err := out.Write(b)
		return err
	})
	if err != nil {
		return err
	}
	err = g.each(snapshot, s.space(spaceParts), func(k, v []byte) error {
		e, err := decodeKept(binary.BigEndian.Uint64(k), v)
		if err == nil {
			err = g.giveParts(out, e)
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
func (g *Group) giveParts(out *bufio.Writer, e *keptEntry) error {
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
		if part, err = g.parts.read(part[:0], e.index, i); err != nil &&
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

// each calls fn with the rows of one space.
func (g *Group) each(r pebble.Reader, space byte, fn func(k, v []byte) error) error {
	p := prefix(g.id, space)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: p[:], UpperBound: prefixEnd(p)})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = fn(it.Key()[prefixLen:], it.Value())
	}
	return errors.Join(err, it.Close())
}
