package logstore

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// op is what one caller wants on stable storage: any of stable values, cuts at either end, entries,
// in this order, all in one block. Nothing in it depends on what other ops do meanwhile: compaction
// runs beside appending.
type op struct {
	group  *Group
	stable []keyValue
	ends   []end
	logs   []*raft.Log
	parts  [][][]byte // of each log
	moved  bool       // logs are parts that move, not entries
	keep   []int64    // of each that moves: what its new segment keeps by it

	places []Place // where logs went
	meta   int     // octets of records
	data   int     // octets of parts
	done   bool
}

// end moves one end of the group's window.
type end struct {
	kind  kind // kindHead or kindTail
	index uint64
}

type keyValue struct{ key, value []byte }

func (o *op) measure() {
	for _, kv := range o.stable {
		o.meta += stableSize(kv)
	}
	o.meta += (recordHead + 8) * len(o.ends)
	for i, l := range o.logs {
		o.meta += entrySize(len(o.parts[i]), len(l.Data))
		for _, p := range o.parts[i] {
			o.data += len(p)
		}
	}
}

func stableSize(kv keyValue) int { return recordHead + 2 + len(kv.key) + len(kv.value) }

// roundLimit bounds what one round writes, unless a single op is larger.
func (s *Store) roundLimit() int { return int(min(s.opts.SegmentSize/4, 4<<20)) }

// commit returns when the op is on stable storage and published.
func (s *Store) commit(o *op) error {
	o.measure()
	if o.meta+o.data > int(s.opts.SegmentSize/4) {
		return fmt.Errorf("log entry of %d octets is larger than a quarter of a segment",
			o.meta+o.data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.err != nil {
		return s.mu.err
	}
	s.mu.queue = append(s.mu.queue, o)
	for !o.done && s.mu.err == nil {
		if s.mu.leading {
			s.mu.roundEnded.Wait()
		} else {
			s.leadLocked()
		}
	}
	if !o.done {
		return s.mu.err
	}
	return nil
}

// leadLocked runs one round. It lets go of the lock for the write and the sync.
func (s *Store) leadLocked() {
	round := s.takeRoundLocked()
	s.mu.leading = true
	s.mu.Unlock()
	err := s.write(round)
	if err != nil {
		s.fail(err)
	}
	s.mu.Lock()
	s.mu.leading = false
	if err == nil {
		s.mu.synced = s.w.seq
		if old := s.mu.newest; old != s.w.seg {
			s.mu.newest = s.w.seg
			if old != nil {
				s.noteEmptyLocked(old)
			}
			s.mu.settling.owed = true // else a newest segment that is missing would not be missed
		}
		for _, o := range round {
			s.publishLocked(o)
			o.done = true
		}
		if len(s.mu.queue) == 0 || s.mu.settling.owed {
			s.settleSoonLocked()
		}
	}
	s.mu.roundEnded.Broadcast()
}

func (s *Store) takeRoundLocked() []*op {
	n, size := 0, 0
	for n < len(s.mu.queue) &&
		(n == 0 || size+s.mu.queue[n].meta+s.mu.queue[n].data <= s.roundLimit()) {
		size += s.mu.queue[n].meta + s.mu.queue[n].data
		n++
	}
	round := s.mu.queue[:n:n]
	s.mu.queue = s.mu.queue[n:]
	return round
}

// publishLocked makes visible what the op changed.
func (s *Store) publishLocked(o *op) {
	for _, kv := range o.stable {
		o.group.stable[string(kv.key)] = kv.value
	}
	for _, e := range o.ends {
		if e.kind == kindHead {
			s.compactLocked(o.group, e.index)
		} else {
			s.cutLocked(o.group, e.index)
		}
	}
	for i, l := range o.logs {
		if o.moved {
			s.mu.segments[o.places[i].Segment].kept += o.keep[i]
		} else {
			s.appendLocked(o.group, l.Index, l.Term, o.places[i], partsLen(o.parts[i]))
		}
	}
}

func partsLen(parts [][]byte) (n int) {
	for _, p := range parts {
		n += len(p)
	}
	return n
}

// writer is the end of the log. Owned by the leader of the round under way.
type writer struct {
	seg    *segment // changed under Store.mu
	f      vfs.File // the segment's file
	off    int64
	seq    uint64       // last block written
	prev   uint32       // its checksum
	lastID uint64       // newest segment number ever used
	salt   uint64       // see header
	began  atomic.Int64 // of the write under way, in nanoseconds since 1970
}

// write puts the round into one block and syncs it.
func (s *Store) write(round []*op) error {
	meta, data := 0, 0
	for _, o := range round {
		meta, data = meta+o.meta, data+o.data
	}
	var start []byte
	if s.w.seg == nil || s.w.off+int64(pageUp(headerSize+meta+data)) > s.opts.SegmentSize {
		if err := s.withRoom(s.rotate); err != nil {
			return err
		}
		start = s.startRecords()
	}
	h := header{
		segment: s.w.seg.id, seq: s.w.seq + 1, synced: s.w.seq, salt: s.w.salt, prev: s.w.prev,
		metaLen: uint32(len(start) + meta), payloadLen: uint32(data),
	}
	buf, at := s.ring.reserve(h.size())
	s.encode(buf, &h, start, round)
	if err := s.writeBlock(buf); err != nil {
		return err
	}
	s.ring.publish(s.w.seg.id, s.w.off, at, len(buf))
	s.w.off += int64(len(buf))
	s.w.seq, s.w.prev = h.seq, h.crc
	return nil
}

// encode fills buf with the block and notes in the ops where their entries go.
func (s *Store) encode(buf []byte, h *header, start []byte, round []*op) {
	m := headerSize + copy(buf[headerSize:], start)
	p := headerSize + int(h.metaLen)
	clear(buf[p+int(h.payloadLen):])
	for _, o := range round {
		for _, kv := range o.stable {
			m += len(appendStable(buf[m:m], o.group.id, kv))
		}
		for _, e := range o.ends {
			b := appendHead(buf[m:m], e.kind, 0, o.group.id, recordHead+8)
			m += len(le.AppendUint64(b, e.index))
		}
		k := kindEntry
		if o.moved {
			k = kindMoved
		}
		o.places = make([]Place, len(o.logs))
		for i, l := range o.logs {
			mn, pn := putEntry(buf[m:], buf[p:], k, o.group.id, l, o.parts[i])
			o.places[i] = Place{
				Segment: s.w.seg.id, Pos: uint32(s.w.off) + uint32(m), Size: uint32(mn),
				Payload: uint32(s.w.off) + uint32(p), Parts: uint32(len(o.parts[i])),
			}
			m, p = m+mn, p+pn
		}
	}
	h.seal(buf)
}

// withRoom writes, and again if there was no room and some could be made. Nothing was synced
// meanwhile, so that the second write is as good as a first.
func (s *Store) withRoom(write func() error) error {
	err := write()
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
	if full && s.opts.OnFull() {
		err = write()
	}
	return err
}

func (s *Store) writeBlock(buf []byte) error {
	began := time.Now()
	s.w.began.Store(began.UnixNano())
	defer s.w.began.Store(0)
	err := s.withRoom(func() error {
		_, err := s.w.f.WriteAt(buf, s.w.off)
		return err
	})
	if err != nil {
		return fmt.Errorf("write segment %d: %w", s.w.seg.id, err)
	}
	if err := syncData(s.w.f); err != nil {
		return fmt.Errorf("sync segment %d: %w", s.w.seg.id, err)
	}
	took := time.Since(began)
	s.stats.syncs.Add(1)
	s.stats.octets.Add(uint64(len(buf)))
	s.stats.syncTime.Add(int64(took))
	s.opts.OnSync(took, len(buf))
	return nil
}

// startRecords is what a segment opens with: where recovery begins and all that is small, so that
// older segments need not be read.
func (s *Store) startRecords() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.w.seg.id
	for id, seg := range s.mu.segments {
		if seg.window > 0 {
			from = min(from, id)
		}
	}
	b := appendHead(nil, kindStart, 0, 0, recordHead+8)
	b = le.AppendUint64(b, from)
	for id, g := range s.mu.groups {
		b = appendWindow(b, id, &g.window)
		for k, v := range g.stable {
			b = appendStable(b, id, keyValue{[]byte(k), v})
		}
	}
	return b
}

func appendStable(b []byte, group uint64, kv keyValue) []byte {
	b = appendHead(b, kindStable, 0, group, stableSize(kv))
	b = le.AppendUint16(b, uint16(len(kv.key)))
	b = append(b, kv.key...)
	return append(b, kv.value...)
}

func appendWindow(b []byte, group uint64, w *window) []byte {
	b = appendHead(b, kindWindow, 0, group, recordHead+24)
	b = le.AppendUint64(b, w.first)
	b = le.AppendUint64(b, w.last)
	return le.AppendUint64(b, w.lastTerm)
}

// Writing returns how long the write under way has taken, 0 when there is none. A hung disk gives
// no error.
func (s *Store) Writing() time.Duration {
	if began := s.w.began.Load(); began != 0 {
		return time.Since(time.Unix(0, began))
	}
	return 0
}

// Newest returns the number of the segment that is being written, 0 before the first write.
func (s *Store) Newest() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w.seg == nil {
		return 0
	}
	return s.w.seg.id
}
