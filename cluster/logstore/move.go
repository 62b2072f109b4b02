package logstore

import (
	"cmp"
	"slices"

	"github.com/hashicorp/raft"
)

// Moving is an entry some of whose parts are to be written once more.
type Moving struct {
	Index uint64
	Old   Place
	Live  func(part int) bool // which parts
	Keep  int64               // what its new segment is to count as kept (see Store.Keep)
	New   Place               // the result
	Err   error               // why it stays where it was: it cannot be read
}

// Move writes the live parts of entries once more, at the end of the log, so that their old segment
// can empty. The new segment has counted Keep when Move returns; the caller takes it off the old
// one, or off the new one if the parts have become garbage meanwhile.
func (g *Group) Move(entries []Moving) error {
	o := &op{group: g, moved: true}
	octets := 0
	for i := range entries {
		m := &entries[i]
		log, parts, err := g.live(m)
		if m.Err = err; err != nil {
			continue
		}
		octets += partsLen(parts)
		o.logs, o.parts, o.keep = append(o.logs, log), append(o.parts, parts),
			append(o.keep, m.Keep)
	}
	if len(o.logs) == 0 {
		return nil
	}
	if err := g.store.commit(o); err != nil {
		return err
	}
	places := o.places
	for i := range entries {
		if entries[i].Err == nil {
			entries[i].New, places = places[0], places[1:]
		}
	}
	g.store.stats.moved.Add(uint64(octets))
	return nil
}

// Import writes parts of entries that are not in this log but that a state taken over from another
// member refers to. Old and Live of the entries are not used; parts[i] belongs to entries[i]. As
// with Move, the new segments have counted Keep.
func (g *Group) Import(entries []Moving, parts [][][]byte) error {
	o := &op{group: g, moved: true, parts: parts}
	for i := range entries {
		o.logs, o.keep = append(o.logs, &raft.Log{Index: entries[i].Index, Type: raft.LogCommand}),
			append(o.keep, entries[i].Keep)
	}
	if err := g.store.commit(o); err != nil {
		return err
	}
	for i := range entries {
		entries[i].New = o.places[i]
	}
	return nil
}

// live reads the parts that move; the others are left empty.
func (g *Group) live(m *Moving) (*raft.Log, [][]byte, error) {
	t, err := g.ReadTable(m.Index, m.Old)
	if err != nil {
		return nil, nil, err
	}
	parts := make([][]byte, t.r.count())
	for i := range parts {
		if m.Live(i) {
			if parts[i], err = g.ReadPart(nil, t, m.Old, i); err != nil {
				return nil, nil, err
			}
		}
	}
	return &raft.Log{Index: m.Index, Term: t.r.term, Type: t.r.logType,
		AppendedAt: fromUnixNano(t.r.appendedAt)}, parts, nil
}

// Sparse returns the segments that are worth emptying when all segments together take more than
// twice the octets kept, and slack more: emptiest first, at most n. Segments with window entries
// empty by themselves.
func (s *Store) Sparse(slack int64, n int) (ids []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var old []*segment
	var live, size int64
	for _, seg := range s.mu.segments {
		if seg.waiting {
			continue // empty already
		}
		live += seg.kept
		size += s.opts.SegmentSize
		if seg.window == 0 && seg.kept > 0 && seg != s.w.seg {
			old = append(old, seg)
		}
	}
	if size <= 2*live+slack {
		return nil
	}
	slices.SortFunc(old, func(a, b *segment) int {
		return cmp.Or(cmp.Compare(a.kept, b.kept), cmp.Compare(a.id, b.id))
	})
	for _, seg := range old[:min(n, len(old))] {
		if seg.kept < s.opts.SegmentSize/2 {
			ids = append(ids, seg.id)
		}
	}
	return ids
}

// Located is an entry or a moved entry found in a segment.
type Located struct {
	Group, Index uint64
	Place        Place
}

// Contents lists what has parts in a segment, by reading it up to its end or the first damage.
func (s *Store) Contents(id uint64) (found []Located, err error) {
	s.mu.Lock()
	seg := s.mu.segments[id]
	s.mu.Unlock()
	if seg == nil {
		return nil, nil
	}
	r := &recovery{s: s, buf: make([]byte, 64<<10)}
	for off := int64(0); ; {
		h, records, err := r.readBlock(seg.file, id, off)
		if isBad(err) {
			return found, nil // after damage: what is kept there stays where it is
		}
		if err != nil {
			return found, err
		}
		for i := range records {
			rec := &records[i]
			if rec.count() > 0 {
				found = append(found, Located{rec.group, rec.index, Place{
					Segment: id, Pos: uint32(off) + uint32(rec.pos), Size: uint32(rec.size),
					Payload: uint32(off) + uint32(rec.payloadPos), Parts: uint32(rec.count()),
				}})
			}
		}
		off += int64(h.size())
	}
}
