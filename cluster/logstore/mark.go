package logstore

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// mark is the high-water mark: the newest block that is on stable storage, and per group the last
// entry, in a file of its own. The log itself cannot tell a lost end from a torn write; the mark
// can. It follows within milliseconds when writing pauses (settle.go). Two slots are written in
// turn, so one is always whole.
type mark struct {
	mu      sync.Mutex
	f       vfs.File
	closed  bool
	next    uint64 // number of the next write; also picks the slot
	written uint64 // the block it names
}

const (
	markName  = "mark"
	markMagic = 0x4b52414d // "MARK"
	markSlot  = 64 << 10
	markHead  = 32 // magic, version, number, block, groups, reserved
	markGroup = 24 // group, term, last index

	// These follow a slot's checksum, since a program that does not know them takes no notice:
	// magic, the mark's number again, block in doubt, what kind of doubt, length of boot and boot,
	// checksum.
	markMore = 0x544f4f42 // "BOOT"
	moreHead = 4 + 8 + 8 + 1 + 1
	maxBoot  = 64
)

type markState struct {
	number, block uint64
	groups        []markedGroup
	boot          string // in which the log is written; "": not known
	// the block that Open found bad and did not refuse, until it is written again; 0: none
	doubt uint64
	kind  doubtKind
}

// doubtKind is what Open found of a bad last block. Numbers are part of the format.
type doubtKind uint8

const (
	doubtOpen   doubtKind = 0 // it may have been acknowledged
	doubtProven doubtKind = 1 // it had been on stable storage
	doubtTorn   doubtKind = 2 // it was not acknowledged
)

// sameBoot reports whether the log was last written in this boot.
func (m *markState) sameBoot(boot string) bool { return m.boot != "" && m.boot == boot }

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
	b = le.AppendUint32(b, checksum(b))
	more := len(b)
	b = le.AppendUint32(b, markMore)
	b = le.AppendUint64(b, m.number)
	b = le.AppendUint64(b, m.doubt)
	b = append(append(b, byte(m.kind), byte(len(m.boot))), m.boot...)
	return le.AppendUint32(b, checksum(b[more:]))
}

// parseMore reads what follows a slot's checksum. An older program that wrote the slot last may
// have left that of a mark before.
func (m *markState) parseMore(b []byte) {
	if len(b) < moreHead || le.Uint32(b) != markMore || le.Uint64(b[4:]) != m.number {
		return
	}
	n := moreHead + int(b[21])
	if len(b) < n+4 || checksum(b[:n]) != le.Uint32(b[n:]) {
		return
	}
	m.doubt, m.kind, m.boot = le.Uint64(b[12:]), doubtKind(b[20]), string(b[moreHead:n])
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
	m.parseMore(b[end+4:])
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

// Mark brings the high-water mark up to date if the log went on. It is to be called about once in
// Options.MarkEvery.
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
	if s.mark.closed {
		return nil
	}
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
	m := markState{number: s.mark.next, block: s.mu.synced, boot: s.opts.Boot}
	if t := s.tail; t != nil && t.Block > m.block {
		m.doubt, m.kind = t.Block, t.kind()
	}
	for id, g := range s.mu.groups {
		m.groups = append(m.groups, markedGroup{id, g.window.lastTerm, g.window.last})
	}
	slices.SortFunc(m.groups, func(a, b markedGroup) int { return int(a.id) - int(b.id) })
	// for the message only; block is what counts
	m.groups = m.groups[:min(len(m.groups), (markSlot-markHead-4-moreHead-maxBoot-4)/markGroup)]
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
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.f == nil {
		return nil
	}
	return m.f.Close()
}

// check compares what recovery found with the mark.
func (m *markState) check(s *Store) error {
	if s.w.seq >= m.block || s.tail != nil && s.tail.Proven {
		return nil
	}
	err := fmt.Errorf("%w: the log ends at block %d, but block %d had been on stable storage",
		ErrLost, s.w.seq, m.block)
	for _, g := range m.groups {
		if has := s.mu.groups[g.id]; has == nil || has.window.last < g.last {
			var last uint64
			if has != nil {
				last = has.window.last
			}
			err = fmt.Errorf("%w; group %d had entry %d of term %d, its log ends at %d", err, g.id,
				g.last, g.term, last)
		}
	}
	return err
}
