// Package mailbox is the replicated store of permanent mailboxes: the state machine of one shard's
// mailboxes, folders and messages (Apply), the front that gathers deliveries into commands, and
// what local delivery, POP3, IMAP and web mail read and do. It knows no raft, no store and no
// socket: a Group gives it these. DESIGN.md says why it is built so.
package mailbox

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/clock"
)

// Clock gives command time.
type Clock interface{ Now() time.Time }

// Options of a Store. The zero value of a field means its default.
type Options struct {
	// this shard's number of how many; Shards 0: mailboxes are not looked at
	Shard, Shards int
	// default clock.NewSteady; called at Start with the newest command time
	NewClock  func(floor time.Time) Clock
	Proposers int // append commands under way at once; default 2
	// other commands under way at once; default 16, at most 128
	Verbs int
	// how long a verb with unknown outcome is repeated; default 60 s
	UnknownFor time.Duration
	// Deliveries waiting for a proposer; beyond any bound: ErrBusy.
	PendingBytes int64 // default 32 MiB
	PendingItems int   // default 10,000
	PendingDrops int   // records; default 100,000
	// Lease reports whether this member is the leader for certain; locks are given and used only
	// then. Nil: always.
	Lease    func() bool
	LockFor  time.Duration // a lock that is not renewed for this long is lost; default 1 min
	MaxLocks int           // default 100,000
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	o.Proposers = min(cmp.Or(o.Proposers, 2), 64)
	o.Verbs = min(cmp.Or(o.Verbs, 16), 128)
	o.UnknownFor = cmp.Or(o.UnknownFor, time.Minute)
	o.PendingBytes = cmp.Or(o.PendingBytes, 32<<20)
	o.PendingItems = cmp.Or(o.PendingItems, 10_000)
	o.PendingDrops = cmp.Or(o.PendingDrops, 100_000)
	o.LockFor = cmp.Or(o.LockFor, time.Minute)
	o.MaxLocks = cmp.Or(o.MaxLocks, 100_000)
	if o.NewClock == nil {
		o.NewClock = func(floor time.Time) Clock { return clock.NewSteady(floor) }
	}
	if o.Lease == nil {
		o.Lease = func() bool { return true }
	}
	return o
}

// Store is one shard's mailboxes. Except for Apply, Committed and Restored, its methods are safe
// for use by several goroutines.
type Store struct {
	opts     Options
	machine  machine  // apply goroutine
	changes  []Change // apply goroutine; since the last Committed
	reader   atomic.Pointer[Reader]
	run      atomic.Pointer[run] // nil: not the owner
	repeated atomic.Uint64       // proposals whose outcome was unknown
	refused  atomic.Uint64       // deliveries that found the front full
	mu       struct {
		sync.Mutex
		meta  meta // as of the last Committed
		known bool // there was one since the rows came
	}
}

// New returns a store that can apply commands. Reads work from Open on.
func New(o Options) *Store {
	s := &Store{opts: o.withDefaults()}
	s.machine.changed = s.note
	return s
}

// Apply applies one command of the log. It is called on one goroutine.
func (s *Store) Apply(w Writer, index, term uint64, data []byte, parts [][]byte) any {
	return s.machine.apply(w, index, data, parts)
}

// note keeps a change for the owner's listener.
func (s *Store) note(b *openBox, folder uint32, modSeq uint64) {
	if s.run.Load() != nil {
		s.changes = append(s.changes, Change{Ref{string(b.address), b.number}, folder, modSeq})
	}
}

// Committed says that the batch with all preceding Apply calls is in the store. Same goroutine as
// Apply.
func (s *Store) Committed() {
	s.mu.Lock()
	s.mu.meta, s.mu.known = s.machine.meta, true
	s.mu.Unlock()
	if r := s.run.Load(); r != nil && len(s.changes) > 0 {
		r.listener.Changed(s.changes)
	}
	s.changes = s.changes[:0]
}

// Restored says that the rows were replaced as a whole by another member's. Same goroutine as
// Apply.
func (s *Store) Restored() {
	s.machine.loaded = false
	s.mu.Lock()
	s.mu.meta, s.mu.known = meta{}, false
	s.mu.Unlock()
}

// Open makes reads work, on this member whether it is the owner or not: they see what it has
// applied.
func (s *Store) Open(r Reader) { s.reader.CompareAndSwap(nil, &r) }

// metaOf returns the meta row as of the last Committed.
func (s *Store) metaOf(r Reader) (meta, error) {
	s.mu.Lock()
	m, known := s.mu.meta, s.mu.known
	s.mu.Unlock()
	if known {
		return m, nil
	}
	v, ok, err := r.Get(metaKey)
	if err != nil || !ok {
		return m, err
	}
	return decodeMeta(v)
}

// Stats are counters of the shard, exact as of the last applied command, and of this process.
type Stats struct {
	Mailboxes, Messages, Bytes, Contents, ContentBytes, DedupRecords uint64
	Appended, Duplicates                                             uint64 // of all time
	// proposals whose outcome was unknown
	Repeated uint64
	// deliveries that found the front full
	Refused uint64
}

// Add adds the counters of another shard.
func (s *Stats) Add(o *Stats) {
	s.Mailboxes += o.Mailboxes
	s.Messages += o.Messages
	s.Bytes += o.Bytes
	s.Contents += o.Contents
	s.ContentBytes += o.ContentBytes
	s.DedupRecords += o.DedupRecords
	s.Appended += o.Appended
	s.Duplicates += o.Duplicates
	s.Repeated += o.Repeated
	s.Refused += o.Refused
}

// Stats returns the counters.
func (s *Store) Stats() (Stats, error) {
	r, err := s.read()
	if err != nil {
		return Stats{}, err
	}
	m, err := s.metaOf(r)
	n := &m.counters
	return Stats{
		n[countMailboxes], n[countMessages], n[countBytes], n[countContents], n[countContentBytes],
		n[countDedupRecords],
		n[countAppended], n[countDuplicates], s.repeated.Load(), s.refused.Load(),
	}, err
}

// mine reports whether a mailbox belongs to this shard.
func (s *Store) mine(address string) bool {
	return s.opts.Shards == 0 || Shard(address, s.opts.Shards) == s.opts.Shard
}
