package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"time"
)

// blockSize is how much memory is taken at a time. An entry lies in one block.
const blockSize = 256 << 10

// DefaultLimit is the most octets that a log keeps in memory, some ten million messages.
const DefaultLimit = 1 << 30

// ErrFull says that a log holds as much as it may.
var ErrFull = errors.New("the record is full")

// log holds encoded entries in blocks, each entry with its length in front. Its methods may be
// called on any goroutine.
type log struct {
	kind  string
	limit int64

	mu struct {
		sync.Mutex
		epoch  time.Time // times are kept as distances from it
		blocks [][]byte  // full but the last; octets once written are not changed
		octets int64     // of all blocks
		spare  []byte    // for encoding
		n      int
		missed int       // entries that there was no room for
		out    io.Writer // when set, blocks go there and are not kept
		err    error     // of out
	}
}

func (l *log) init(kind string) {
	l.kind, l.limit = kind, DefaultLimit
	l.mu.epoch = time.Now().Round(0).Truncate(time.Microsecond)
}

// Limit sets how many octets the log keeps in memory. What does not fit is counted by Missed.
func (l *log) Limit(octets int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = octets
}

// Len returns the number of entries, those that were written to a file among them.
func (l *log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.n
}

// Missed returns the number of entries that the log has not kept, because it was full or its file
// could not be written.
func (l *log) Missed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.missed
}

// Octets returns the memory that the entries take.
func (l *log) Octets() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.octets
}

// add takes an entry that encode appends.
func (l *log) add(encode func(b []byte, epoch time.Time) []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.spare = encode(l.mu.spare[:0], l.mu.epoch)
	entry := l.mu.spare
	if err := l.roomLocked(len(entry) + binary.MaxVarintLen32); err != nil {
		l.mu.missed++
		return err
	}
	last := &l.mu.blocks[len(l.mu.blocks)-1]
	before := len(*last)
	*last = append(binary.AppendUvarint(*last, uint64(len(entry))), entry...)
	l.mu.octets += int64(len(*last) - before)
	l.mu.n++
	return nil
}

// roomLocked has the last block hold n octets more.
func (l *log) roomLocked(n int) error {
	if k := len(l.mu.blocks); k > 0 && cap(l.mu.blocks[k-1])-len(l.mu.blocks[k-1]) >= n {
		return nil
	}
	if l.mu.out != nil && len(l.mu.blocks) > 0 {
		if err := l.flushLocked(); err != nil {
			return err
		}
		if cap(l.mu.blocks[0]) >= n {
			return nil
		}
		l.mu.blocks = nil
	}
	if l.mu.octets+int64(n) > l.limit {
		return ErrFull
	}
	l.mu.blocks = append(l.mu.blocks, make([]byte, 0, max(n, blockSize)))
	return nil
}

// Reset forgets all entries. It is not for a log that goes to a file.
func (l *log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.blocks, l.mu.octets, l.mu.n, l.mu.missed = nil, 0, 0, 0
}

// entries returns those that are in memory now, in the order in which they were added.
func (l *log) entries() iter.Seq2[[]byte, time.Time] {
	l.mu.Lock()
	blocks, epoch := slices.Clone(l.mu.blocks), l.mu.epoch
	l.mu.Unlock()
	return func(yield func([]byte, time.Time) bool) {
		for _, b := range blocks {
			for len(b) > 0 {
				size, n := binary.Uvarint(b)
				if !yield(b[n:n+int(size)], epoch) {
					return
				}
				b = b[n+int(size):]
			}
		}
	}
}

// SentLog is what a generator has sent.
type SentLog struct{ log }

// NewSentLog returns an empty log.
func NewSentLog() *SentLog {
	l := &SentLog{}
	l.init(kindSent)
	return l
}

// Add adds a message, of which it keeps nothing but a copy. Its error is ErrFull or that of the
// file.
func (l *SentLog) Add(s *Sent) error { return l.add(s.encode) }

// All returns what is in memory, in the order of Add. The message is valid until the next; its
// strings stay.
func (l *SentLog) All() iter.Seq[*Sent] {
	return func(yield func(*Sent) bool) {
		var s Sent
		for b, epoch := range l.entries() {
			if err := s.decode(b, epoch); err != nil {
				panic(fmt.Sprintf("record: %v", err)) // Add has made it, or Read has looked at it
			}
			if !yield(&s) {
				return
			}
		}
	}
}

// ReceivedLog is what a receiving server has accepted.
type ReceivedLog struct{ log }

// NewReceivedLog returns an empty log.
func NewReceivedLog() *ReceivedLog {
	l := &ReceivedLog{}
	l.init(kindReceived)
	return l
}

// Add adds a transaction, of which it keeps nothing but a copy. Its error is ErrFull or that of the
// file.
func (l *ReceivedLog) Add(r *Received) error { return l.add(r.encode) }

// All returns what is in memory, in the order of Add. The transaction is valid until the next; its
// strings stay.
func (l *ReceivedLog) All() iter.Seq[*Received] {
	return func(yield func(*Received) bool) {
		var r Received
		for b, epoch := range l.entries() {
			if err := r.decode(b, epoch); err != nil {
				panic(fmt.Sprintf("record: %v", err)) // as above
			}
			if !yield(&r) {
				return
			}
		}
	}
}
