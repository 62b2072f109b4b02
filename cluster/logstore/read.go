package logstore

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// ErrCorrupt is wrapped by errors that say that something on the disk does not verify.
var ErrCorrupt = errors.New("corrupt")

// readAt fills p from memory or from the file of a segment.
func (s *Store) readAt(p []byte, segment uint64, off int64) error {
	if s.ring.read(p, segment, off) {
		return nil
	}
	s.mu.Lock()
	seg := s.mu.segments[segment]
	s.mu.Unlock()
	if seg == nil {
		return fmt.Errorf("segment %d: no such segment", segment)
	}
	if off+int64(len(p)) > s.opts.SegmentSize {
		return fmt.Errorf("segment %d: offset %d: %w", segment, off, ErrCorrupt)
	}
	return seg.file.readAt(p, off)
}

// Locate returns where an entry in the window lies.
func (g *Group) Locate(index uint64) (Place, bool) {
	g.store.mu.Lock()
	defer g.store.mu.Unlock()
	l, ok := g.window.at(index)
	return l.place, ok
}

// GetLog reads an entry. Its Data and Extensions are the caller's.
func (g *Group) GetLog(index uint64, log *raft.Log) error {
	p, ok := g.Locate(index)
	if !ok {
		return raft.ErrLogNotFound
	}
	meta := make([]byte, p.Size)
	if err := g.store.readAt(meta, p.Segment, int64(p.Pos)); err != nil {
		return fmt.Errorf("read entry %d of group %d: %w", index, g.id, err)
	}
	r, err := parseRecord(meta)
	if err != nil || r.kind != kindEntry || r.group != g.id || r.index != index {
		return fmt.Errorf("entry %d of group %d in segment %d: %w", index, g.id, p.Segment,
			ErrCorrupt)
	}
	*log = raft.Log{Index: index, Term: r.term, Type: r.logType, Data: r.data,
		AppendedAt: fromUnixNano(r.appendedAt)}
	if log.Extensions, err = g.store.readParts(&r, p); err != nil {
		return fmt.Errorf("entry %d of group %d in segment %d: %w", index, g.id, p.Segment, err)
	}
	return nil
}

// readParts returns all parts of an entry in their joined form.
func (s *Store) readParts(r *record, p Place) ([]byte, error) {
	if r.count() == 0 {
		return nil, nil
	}
	total := 0
	for i := range r.count() {
		n, _ := r.part(i)
		total += n
	}
	ext := make([]byte, joinedLen(r.count(), total))
	ext[0] = extJoined
	le.PutUint32(ext[1:], uint32(r.count()))
	payload := ext[5+4*r.count():]
	if err := s.readAt(payload, p.Segment, int64(p.Payload)); err != nil {
		return nil, err
	}
	for i := range r.count() {
		n, crc := r.part(i)
		le.PutUint32(ext[5+4*i:], uint32(n))
		if checksum(payload[:n]) != crc {
			return nil, ErrCorrupt
		}
		payload = payload[n:]
	}
	return ext, nil
}

// Table is an entry's table of parts, verified.
type Table struct{ r record }

// ReadTable reads the table of the entry at p.
func (g *Group) ReadTable(index uint64, p Place) (Table, error) {
	b := make([]byte, tableLen(int(p.Parts)))
	if err := g.store.readAt(b, p.Segment, int64(p.Pos)); err != nil {
		return Table{}, err
	}
	var t Table
	if _, err := t.r.parseTable(b); err != nil || t.r.group != g.id || t.r.index != index ||
		t.r.count() != int(p.Parts) {
		return Table{}, fmt.Errorf("parts of entry %d of group %d in segment %d: %w", index, g.id,
			p.Segment, ErrCorrupt)
	}
	return t, nil
}

// Len returns the length of a part.
func (t Table) Len(part int) int { n, _ := t.r.part(part); return n }

// ReadPart appends a part of the entry at p to buf.
func (g *Group) ReadPart(buf []byte, t Table, p Place, part int) ([]byte, error) {
	off := int64(p.Payload)
	for i := range part {
		off += int64(t.Len(i))
	}
	n, crc := t.r.part(part)
	at := len(buf)
	buf = slices.Grow(buf, n)[:at+n] // not cleared: readAt fills it
	if err := g.store.readAt(buf[at:], p.Segment, off); err != nil {
		return buf[:at], err
	}
	if checksum(buf[at:]) != crc {
		return buf[:at], fmt.Errorf("part %d of entry %d of group %d in segment %d: %w", part,
			t.r.index, g.id, p.Segment, ErrCorrupt)
	}
	return buf, nil
}
