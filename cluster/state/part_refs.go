package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postroad/postroad/cluster/logstore"
)

// partRefs knows which parts of a group's entries the state refers to, and where they lie. There is
// one row for each entry with such parts: place and a bit for each part. Keeping and dropping
// change it in memory; a batch writes the rows it changed once.
type partRefs struct {
	of *Rows
	mu sync.Mutex
	// All below is guarded by mu.
	side    side
	entries map[uint64]*keptEntry // a cache: the newest, and those changed in the batch under way
	order   []uint64              // keys of entries, oldest first
	dirty   []*keptEntry
	key     []byte // scratch
	val     []byte
}

// keptEntry is one entry's row.
type keptEntry struct {
	index   uint64
	place   logstore.Place // Size is not stored
	octets  uint32         // of all its parts, those dropped included
	live    []uint64       // bit per part
	counted int64          // what its segment keeps by it, as of the last commit
	stored  bool           // the row exists
	dirty   bool
	table   *logstore.Table // read when a part was
}

// maxCached bounds the entries in memory, but for those of the batch under way. One takes about 200
// octets.
const maxCached = 4096

// kept is what a segment keeps by this entry: a share of the parts' octets that is 0 when none is
// live. Only sums and emptiness matter.
func (e *keptEntry) kept() int64 {
	n := e.count()
	if n == 0 {
		return 0
	}
	return int64(e.octets)*int64(n)/int64(e.place.Parts) + int64(n)
}

func (e *keptEntry) count() (n int) {
	for _, w := range e.live {
		n += bits.OnesCount64(w)
	}
	return n
}

func (e *keptEntry) has(part int) bool {
	return part>>6 < len(e.live) && e.live[part>>6]>>(part&63)&1 != 0
}

// keep is called for the entry being applied, which is in the log's window. octets is of all of its
// parts.
func (p *partRefs) keep(index uint64, part int, octets uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entries[index]
	if e == nil {
		place, ok := p.of.log.Locate(index)
		if !ok {
			panic(fmt.Sprintf("state: entry %d of group %d is applied but not in the log", index,
				p.of.id))
		}
		e = &keptEntry{index: index, place: place, octets: octets,
			live: make([]uint64, (place.Parts+63)/64)}
		p.cacheLocked(e)
	}
	if part < 0 || part >= int(e.place.Parts) {
		panic(fmt.Sprintf("state: entry %d of group %d has %d parts, not %d", index, p.of.id,
			e.place.Parts, part))
	}
	e.live[part>>6] |= 1 << (part & 63)
	p.dirtyLocked(e)
}

func (p *partRefs) drop(index uint64, part int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, err := p.loadLocked(index)
	if err != nil || e == nil || !e.has(part) {
		return err
	}
	e.live[part>>6] &^= 1 << (part & 63)
	p.dirtyLocked(e)
	return nil
}

func (p *partRefs) dirtyLocked(e *keptEntry) {
	if !e.dirty {
		e.dirty = true
		p.dirty = append(p.dirty, e)
	}
}

// loadLocked returns an entry from the cache or from its row; nil when there is none.
func (p *partRefs) loadLocked(index uint64) (*keptEntry, error) {
	if e := p.entries[index]; e != nil {
		return e, nil
	}
	p.key = appendPartsKey(p.key[:0], p.of.id, p.side, index)
	v, closer, err := p.of.store.db.Get(p.key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	e, err := decodeKept(index, v)
	if err == nil {
		p.cacheLocked(e)
	}
	return e, err
}

func (p *partRefs) cacheLocked(e *keptEntry) {
	p.entries[e.index] = e
	p.order = append(p.order, e.index)
	for tries := len(p.order); len(p.order) > maxCached && tries > 0; tries-- {
		old := p.order[0]
		p.order = p.order[1:]
		if o := p.entries[old]; o != nil && o.dirty {
			p.order = append(p.order, old)
		} else {
			delete(p.entries, old)
		}
	}
}

// commit writes the rows that changed into the batch, commits it, and then counts what segments
// keep.
func (p *partRefs) commit(batch *pebble.Batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.dirty {
		p.key = appendPartsKey(p.key[:0], p.of.id, p.side, e.index)
		var err error
		if e.count() > 0 {
			p.val = e.encode(p.val[:0])
			err = batch.Set(p.key, p.val, nil)
		} else if e.stored {
			err = batch.Delete(p.key, nil)
		}
		if err != nil {
			return err
		}
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	for i, e := range p.dirty {
		p.dirty[i] = nil
		e.dirty, e.stored = false, e.count() > 0
		if d := e.kept() - e.counted; d != 0 {
			e.counted += d
			if err := p.of.store.opts.Log.Keep(e.place.Segment, d); err != nil {
				return err
			}
		}
		if !e.stored {
			delete(p.entries, e.index)
		}
	}
	p.dirty = p.dirty[:0]
	return nil
}

const keptVersion = 1

func (e *keptEntry) encode(b []byte) []byte {
	b = append(b, keptVersion)
	for _, v := range []uint64{e.place.Segment, uint64(e.place.Pos), uint64(e.place.Payload),
		uint64(e.place.Parts), uint64(e.octets)} {
		b = binary.AppendUvarint(b, v)
	}
	for _, w := range e.live {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

var errBadRow = errors.New("malformed row of kept parts")

func decodeKept(index uint64, b []byte) (*keptEntry, error) {
	if len(b) == 0 || b[0] != keptVersion {
		return nil, errBadRow
	}
	var v [5]uint64
	b = b[1:]
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(b); n <= 0 || i > 0 && v[i] > 1<<32-1 {
			return nil, errBadRow
		}
		b = b[n:]
	}
	e := &keptEntry{index: index, octets: uint32(v[4]), stored: true}
	e.place = logstore.Place{Segment: v[0], Pos: uint32(v[1]), Payload: uint32(v[2]),
		Parts: uint32(v[3])}
	if uint64(len(b)) != (v[3]+63)/64*8 {
		return nil, errBadRow
	}
	for ; len(b) > 0; b = b[8:] {
		e.live = append(e.live, binary.LittleEndian.Uint64(b))
	}
	e.counted = e.kept()
	return e, nil
}

// countSide tells the log store what the rows of one side keep (+1), or no longer keep (-1).
func (p *partRefs) countSide(s side, sign int64) error {
	return p.of.each(p.of.store.db, s.space(spaceParts), func(k, v []byte) error {
		index := binary.BigEndian.Uint64(k)
		e, err := decodeKept(index, v)
		if err == nil {
			err = p.of.store.opts.Log.Keep(e.place.Segment, sign*e.counted)
		}
		if err != nil {
			return fmt.Errorf("entry %d of group %d: %w", index, p.of.id, err)
		}
		return nil
	})
}

// read appends a part to buf. A reader may find its place reused when parts are moved at the same
// moment; then it looks again.
func (p *partRefs) read(buf []byte, index uint64, part int) ([]byte, error) {
	for try := 0; ; try++ {
		place, table, err := p.locate(index, part)
		if err == nil && table == nil {
			table, err = p.loadTable(index, place)
		}
		if err == nil {
			var out []byte
			if out, err = p.of.log.ReadPart(buf, *table, place, part); err == nil {
				return out, nil
			}
		}
		if try == 1 || errors.Is(err, ErrNoPart) {
			return buf, err
		}
	}
}

// ErrNoPart: neither the state nor the log has the part (any more).
var ErrNoPart = errors.New("no such part")

func (p *partRefs) locate(index uint64, part int) (logstore.Place, *logstore.Table, error) {
	p.mu.Lock()
	e, err := p.loadLocked(index)
	if e != nil && err == nil {
		defer p.mu.Unlock()
		if !e.has(part) {
			return logstore.Place{}, nil, ErrNoPart
		}
		return e.place, e.table, nil
	}
	p.mu.Unlock()
	if err != nil {
		return logstore.Place{}, nil, err
	}
	place, ok := p.of.log.Locate(index)
	if !ok || part < 0 || part >= int(place.Parts) {
		return place, nil, ErrNoPart
	}
	return place, nil, nil
}

func (p *partRefs) loadTable(index uint64, place logstore.Place) (*logstore.Table, error) {
	t, err := p.of.log.ReadTable(index, place)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.entries[index]; e != nil && e.place == place {
		e.table = &t
	}
	return &t, nil
}
