package logstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// ErrLost is wrapped by Open's error when something is missing or damaged that had been on stable
// storage. The store does not open then: a member that has forgotten what it acknowledged must not
// go on as if nothing had happened.
var ErrLost = errors.New("log has lost what was on stable storage")

// Open opens the store in Options.Dir, which is made if need be, and recovers it. Content that the
// state refers to is not counted yet: see Keep and Loaded.
func Open(opts Options) (*Store, error) {
	s := &Store{opts: opts.withDefaults()}
	s.mu.roundEnded.L = &s.mu
	s.mu.groups, s.mu.segments = map[uint64]*Group{}, map[uint64]*segment{}
	s.ring.mem = alignedBuffer(pageUp(s.opts.RingSize))
	if s.opts.SegmentSize > 1<<31 {
		return nil, fmt.Errorf("segment size %d is over 2 GiB", s.opts.SegmentSize)
	}
	fs := s.opts.FS
	err := fs.MkdirAll(s.opts.Dir, 0o700)
	if err == nil {
		err = SyncDir(fs, fs.PathDir(s.opts.Dir))
	}
	if err == nil {
		s.dir, err = fs.OpenDir(s.opts.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open segment directory: %w", err)
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("recover log in %s: %w", s.opts.Dir, err),
			s.closeFiles())
	}
	return s, nil
}

func (s *Store) recover() error {
	m, err := s.openMark()
	if err != nil {
		return err
	}
	ids, err := s.listSegments()
	if err != nil {
		return err
	}
	if len(ids) > 0 {
		s.w.lastID = ids[len(ids)-1]
	}
	r := &recovery{s: s, mark: m, buf: make([]byte, 64<<10)}
	from, ids, unbegun, err := r.findStart(ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		s.mu.segments[id] = &segment{id: id, file: s.newFile(id)}
	}
	for i, id := range ids {
		if id < from {
			continue
		}
		if err := r.replay(id, i == len(ids)-1); err != nil {
			return err
		}
	}
	for _, id := range unbegun {
		if err := r.lookAtUnbegun(id, from != 0); err != nil {
			return err
		}
	}
	r.rememberTail()
	if len(ids) > 0 {
		s.mu.newest = s.mu.segments[ids[len(ids)-1]]
		if err := s.syncTail(); err != nil {
			return err
		}
	}
	s.w.seq, s.w.prev, s.mu.synced = r.seq, r.crc, r.seq
	for id, g := range s.mu.groups {
		w := &g.window
		if uint64(len(w.locs)) != w.last+1-w.first {
			return fmt.Errorf("%w: group %d has %d of its entries %d to %d", ErrLost, id,
				len(w.locs), w.first, w.last)
		}
	}
	if err := m.check(s); err != nil {
		return err
	}
	if err := s.dir.Sync(); err != nil {
		return err
	}
	// From here on the mark says in which boot the log is written, and what is wrong with its tail;
	// only then may what shows that go.
	if err := s.writeMark(); err != nil {
		return err
	}
	for _, id := range unbegun {
		if err := s.opts.FS.Remove(s.path(id)); err != nil {
			return err
		}
	}
	return s.dir.Sync()
}

// syncTail makes sure that what was found is on stable storage: when only the process died, the
// last block was perhaps never synced. A file that a loss of power made shorter gets its size
// again.
func (s *Store) syncTail() error {
	f, err := s.opts.FS.OpenReadWrite(s.mu.newest.file.path, writeCategory)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < s.opts.SegmentSize {
		_, err = f.WriteAt([]byte{0}, s.opts.SegmentSize-1)
	}
	return errors.Join(err, syncData(f), f.Close())
}

func (s *Store) listSegments() (ids []uint64, err error) {
	names, err := s.opts.FS.List(s.opts.Dir)
	for _, name := range names {
		if id, ok := parseSegmentName(name); ok {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, err
}

// recovery reads the blocks in their order.
type recovery struct {
	s    *Store
	mark markState
	buf  []byte
	seq  uint64 // last good block
	crc  uint32 // its checksum
	id   uint64 // its segment
	// Of that segment: its first block, and the newest that its blocks say was on stable storage.
	first, synced uint64
}

// findStart finds the newest segment that was begun, and by its opening records the one where
// recovery starts. Newer files are those of a rotation that a crash cut short.
func (r *recovery) findStart(ids []uint64) (from uint64, begun, unbegun []uint64, err error) {
	n := len(ids)
	for ; n > 0 && from == 0; n-- {
		if from, err = r.opening(ids[n-1]); err != nil {
			return 0, nil, nil, err
		}
	}
	if from != 0 {
		n++
	} else {
		r.s.w.salt = rand.Uint64() | 1
	}
	return from, ids[:n], ids[n:], nil
}

// opening reads a segment's first block; from is 0 when there is none.
func (r *recovery) opening(id uint64) (from uint64, err error) {
	f := r.s.newFile(id)
	r.s.w.salt = 0 // unknown: take the one found
	h, records, err := r.readBlock(f, id, 0)
	switch {
	case isBad(err) || err == nil && (len(records) == 0 || records[0].kind != kindStart):
		err = nil
	case err == nil:
		from, r.s.w.salt = records[0].number, h.salt
	}
	return from, errors.Join(err, f.close())
}

// lookAtUnbegun looks whether a segment without a good first block was begun after all.
func (r *recovery) lookAtUnbegun(id uint64, salted bool) error {
	f := r.s.newFile(id)
	salt := r.s.w.salt
	if !salted {
		r.s.w.salt = 0 // no block has told it: take any
	}
	proof, err := r.laterBlock(f, id, 0, 1)
	r.s.w.salt = salt
	if err == nil && proof == nil && r.s.tail == nil {
		err = r.lookAtTail(f, id, 0)
	}
	if err = errors.Join(err, f.close()); err != nil {
		return err
	}
	if proof != nil {
		return fmt.Errorf("%w: the first block of segment %d is damaged", ErrLost, id)
	}
	return nil
}

func isBad(err error) bool { return errors.Is(err, errBadBlock) || errors.Is(err, errBadRecord) }

// readBlock reads and verifies the block at off. What does not verify is errBadBlock; other errors
// are the disk's. The records are valid until the next call.
func (r *recovery) readBlock(
	f *file, id uint64, off int64,
) (h header, records []record, err error) {
	head := r.buf[:headerSize]
	if off+headerSize > r.s.opts.SegmentSize {
		return h, nil, errBadBlock
	}
	if err := readFull(f, head, off); err != nil {
		return h, nil, err
	}
	if h, err = parseHeader(head, r.s.opts.SegmentSize-off); err != nil {
		return h, nil, err
	}
	if h.segment != id || r.s.w.salt != 0 && h.salt != r.s.w.salt {
		return h, nil, errBadBlock
	}
	n := headerSize + int(h.metaLen) + int(h.payloadLen)
	if n > len(r.buf) {
		r.buf = make([]byte, n)
	}
	if err := readFull(f, r.buf[:n], off); err != nil {
		return h, nil, err
	}
	records, err = h.verify(r.buf[:n])
	return h, records, err
}

// readFull reads len(p) octets. The end of the file is a bad block: files are extended by what is
// written when they could not be preallocated.
func readFull(f *file, p []byte, off int64) error {
	err := f.readAt(p, off)
	if isEOF(err) {
		return errBadBlock
	}
	return err
}

// replay reads one segment. It ends at the first block that does not verify or does not follow.
func (r *recovery) replay(id uint64, last bool) error {
	f := r.s.mu.segments[id].file
	// else segments between have been recycled, or this is the first
	follows := r.id != 0 && r.id+1 == id
	for off := int64(0); ; {
		h, records, err := r.readBlock(f, id, off)
		bad := isBad(err)
		if err != nil && !bad {
			return fmt.Errorf("read segment %d: %w", id, err)
		}
		if !bad && (off > 0 || follows) && (h.seq != r.seq+1 || h.prev != r.crc) {
			bad = true
		}
		if !bad && h.seq <= r.seq {
			bad = true
		}
		if bad {
			return r.end(f, id, off, last)
		}
		for i := range records {
			if err := r.s.replayRecord(&records[i], id, off); err != nil {
				return err
			}
		}
		if off == 0 {
			r.first = h.seq
		}
		r.seq, r.crc, r.id, r.synced = h.seq, h.crc, id, h.synced
		off += int64(h.size())
	}
}

// end decides what a bad block at off means: the end of the segment, or damage. In all segments but
// the last the first block of the next one tells, by its number and by the checksum of the block
// before it.
func (r *recovery) end(f *file, id uint64, off int64, last bool) error {
	if off == 0 {
		h, _, err := r.readBlock(f, id, 0)
		what := fmt.Sprintf("block %d", h.seq)
		if err != nil {
			what = err.Error()
		}
		return fmt.Errorf(
			"%w: the first block of segment %d (%s) does not follow block %d of segment %d",
			ErrLost, id, what, r.seq, r.id)
	}
	if !last {
		return nil
	}
	proof, err := r.laterBlock(f, id, off, r.seq+1)
	if err != nil {
		return err
	}
	if proof != nil {
		return fmt.Errorf(
			"%w: block %d in segment %d at %d is damaged: block %d was written after it had "+
				"been synced",
			ErrLost, r.seq+1, id, off, proof.seq)
	}
	if err := r.checkSize(f, id); err != nil {
		return err
	}
	return r.lookAtTail(f, id, off)
}

// laterBlock looks for a good block after off that was written when block seq was on stable
// storage.
func (r *recovery) laterBlock(f *file, id uint64, off int64, seq uint64) (*header, error) {
	for off += pageSize; off < r.s.opts.SegmentSize; off += pageSize {
		h, _, err := r.readBlock(f, id, off)
		switch {
		case err == nil && h.synced >= seq:
			return &h, nil
		case err != nil && !isBad(err):
			return nil, err
		}
	}
	return nil, nil
}

// replayRecord does again what publishLocked did. Nothing else runs yet.
func (s *Store) replayRecord(r *record, id uint64, off int64) error {
	if r.kind == kindStart || r.kind == kindMoved {
		return nil
	}
	g := s.groupLocked(r.group)
	switch r.kind {
	case kindStable:
		g.stable[string(r.key)] = append([]byte(nil), r.value...)
	case kindWindow:
		s.setWindowLocked(g, r.first, r.last, r.term)
	case kindHead:
		s.compactLocked(g, r.number)
	case kindTail:
		s.cutLocked(g, r.number)
	case kindEntry:
		if !g.window.empty() && r.index != g.window.last+1 {
			return fmt.Errorf("%w: group %d: entry %d follows entry %d", ErrLost, r.group, r.index,
				g.window.last)
		}
		s.appendLocked(g, r.index, r.term, Place{
			Segment: id, Pos: uint32(off) + uint32(r.pos), Size: uint32(r.size),
			Payload: uint32(off) + uint32(r.payloadPos), Parts: uint32(r.count()),
		}, partsLen(r.parts))
	}
	return nil
}
