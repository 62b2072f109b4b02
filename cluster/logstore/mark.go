package logstore

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// mark is the high-water mark: the newest block that is on stable storage, and per group the last entry, in a file of its own. The
// log itself cannot tell a lost end from a torn write; the mark can. Two slots are written in turn, so one is always whole.
type mark struct {
	mu      sync.Mutex
	f       vfs.File
	next    uint64 // number of the next write; also picks the slot
	written uint64 // the block it names
}

const (
	markName  = "mark"
	markMagic = 0x4b52414d // "MARK"
	markSlot  = 64 << 10
	markHead  = 32 // magic, version, number, block, groups, reserved
	markGroup = 24 // group, term, last index
)

type markState struct {
	number, block uint64
	groups        []markedGroup
}

type markedGroup struct{ id, term, last uint64 }

func (m *markState) encode() []byte {
	b := le.AppendUint32(nil, markMagic)
	b = le.AppendUint32(b, formatVersion)
	b = le.AppendUint64(b, m.number)
	b = le.AppendUint64(b, m.block)
	b = le.AppendUint64(b, uint64(len(m.groups)))
	for _, g := range m.groups {
		b = le.AppendUint64(b, g.id)
		b = le.AppendUint64(b, g.term)
		b = le.AppendUint64(b, g.last)
	}
	return le.AppendUint32(b, checksum(b))
}

func parseMark(b []byte) (m markState, ok bool) {
	if len(b) < markHead+4 || le.Uint32(b) != markMagic || le.Uint32(b[4:]) != formatVersion {
		return m, false
	}
	n := le.Uint64(b[24:])
	if n > uint64(len(b)-markHead-4)/markGroup {
		return m, false
	}
	end := markHead + int(n)*markGroup
	if checksum(b[:end]) != le.Uint32(b[end:]) {
		return m, false
	}
	m.number, m.block = le.Uint64(b[8:]), le.Uint64(b[16:])
	for p := b[markHead:end]; len(p) > 0; p = p[markGroup:] {
		m.groups = append(m.groups, markedGroup{le.Uint64(p), le.Uint64(p[8:]), le.Uint64(p[16:])})
	}
	return m, true
}

// openMark opens the file and returns the newer of its slots.
func (s *Store) openMark() (newest markState, err error) {
	s.mark.f, err = s.opts.FS.OpenReadWrite(s.opts.FS.PathJoin(s.opts.Dir, markName), writeCategory)
	if err != nil {
		return newest, err
	}
	buf := make([]byte, markSlot)
	for slot := range int64(2) {
		n, err := s.mark.f.ReadAt(buf, slot*markSlot)
		if err != nil && !errors.Is(err, io.EOF) {
			return newest, fmt.Errorf("read high-water mark: %w", err)
		}
		if m, ok := parseMark(buf[:n]); ok && m.number >= newest.number {
			newest = m
		}
	}
	s.mark.next, s.mark.written = newest.number+1, newest.block
	return newest, nil
}

// Mark brings the high-water mark up to date if the log went on. It is to be called about once in Options.MarkEvery.
func (s *Store) Mark() error {
	s.mu.Lock()
	err, synced := s.mu.err, s.mu.synced
	s.mu.Unlock()
	s.mark.mu.Lock()
	same := s.mark.written == synced
	s.mark.mu.Unlock()
	if err != nil || same {
		return err
	}
	return s.writeMark()
}

func (s *Store) writeMark() error {
	s.mark.mu.Lock()
	defer s.mark.mu.Unlock()
	m := s.markState()
	if err := s.mark.write(m.encode()); err != nil {
		return s.fail(fmt.Errorf("high-water mark: %w", err))
	}
	s.mark.written = m.block
	return nil
}

func (s *Store) markState() markState {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := markState{number: s.mark.next, block: s.mu.synced}
	for id, g := range s.mu.groups {
		m.groups = append(m.groups, markedGroup{id, g.window.lastTerm, g.window.last})
	}
	slices.SortFunc(m.groups, func(a, b markedGroup) int { return int(a.id) - int(b.id) })
	m.groups = m.groups[:min(len(m.groups), (markSlot-markHead-4)/markGroup)] // for the message only; block is what counts
	return m
}

func (m *mark) write(b []byte) error {
	if _, err := m.f.WriteAt(b, int64(m.next%2)*markSlot); err != nil {
		return err
	}
	m.next++
	return syncData(m.f)
}

func (m *mark) close() error {
	if m.f == nil {
		return nil
	}
	return m.f.Close()
}

// check compares what recovery found with the mark.
func (m *markState) check(s *Store) error {
	if s.w.seq >= m.block {
		return nil
	}
	err := fmt.Errorf("%w: the log ends at block %d, but block %d had been on stable storage", ErrLost, s.w.seq, m.block)
	for _, g := range m.groups {
		if has := s.mu.groups[g.id]; has == nil || has.window.last < g.last {
			var last uint64
			if has != nil {
				last = has.window.last
			}
			err = fmt.Errorf("%w; group %d had entry %d of term %d, its log ends at %d", err, g.id, g.last, g.term, last)
		}
	}
	return err
}
