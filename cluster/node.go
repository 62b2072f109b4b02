// Package cluster keeps groups of replicated state machines: raft over a log store that all groups
// of a node share, and one Pebble for their states. It knows bytes, not mail. DESIGN.md says why it
// is as it is.
package cluster

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad/postroad/cluster/beat"
	"github.com/postroad/postroad/cluster/logstore"
	"github.com/postroad/postroad/cluster/state"
	"github.com/postroad/postroad/cluster/wire"
)

// The groups of a fresh node. Numbers are never given twice.
const (
	ControlGroup uint64 = 1
	HomeGroup    uint64 = 2
)

// ErrLost is wrapped by the error of a node that has lost, or may have lost, something that was on
// stable storage, and does not go on.
var ErrLost = logstore.ErrLost

// Options of a Node. Only Dir must be set.
type Options struct {
	Dir string
	FS  vfs.FS // default: the operating system's

	// SegmentSize and RingSize in octets: see logstore.Options.
	SegmentSize int64
	RingSize    int
	// MarkerBytes is how much log, in octets, a group writes between two markers; a start reads
	// about as much. Default: 64 MiB, or a segment if that is less.
	MarkerBytes int64
	// MarkerEntries is the same as a count of entries; default 50,000.
	MarkerEntries uint64
	// GarbageBytes is how much disk, in octets, may be garbage beyond as much as is alive, before
	// content is moved; default 8 segments.
	GarbageBytes int64
	// InFlight bounds the proposals of a group under way at once; default 64.
	InFlight int
	// ProposeTimeout bounds the wait for one proposal; default 30 s.
	ProposeTimeout time.Duration
	// HeartbeatTimeout is how long a follower hears nothing before it stands for election. Default:
	// 900 ms, which is above a stop of half a second and what else is between two heartbeats.
	HeartbeatTimeout time.Duration
	// Member and Incarnation are taken by a store that is new: what the cluster gave this node when
	// it joined. Default: 1, random.
	Member      uint16
	Incarnation uint64
	// Boot tells one run of the operating system from the next; see logstore.Options. Default: the
	// kernel's boot ID when FS is not set, else none.
	Boot string
	// StallLimit is how long a write to the log may take before the node gives up (a leader with a
	// hung disk keeps its leadership); default 30 s.
	StallLimit time.Duration

	// OnFailure hears of the error after which nothing can be stored any more, once. It should end
	// the process and not return. Default: panic.
	OnFailure func(error)
	// OnFull hears that the disk has no room for the log: see logstore.Options.
	OnFull func() bool
	// OnSync hears of every sync of the log: see logstore.Options.
	OnSync func(took time.Duration, octets int)
	// OnSlowDisk hears of operations of Pebble's that take over 5 s.
	OnSlowDisk func(what string)
	// Logf takes what raft and Pebble have to say that is worth a line.
	Logf func(format string, args ...any)
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS, o.Boot = vfs.Default, cmp.Or(o.Boot, BootID())
	}
	o.SegmentSize = cmp.Or(o.SegmentSize, 64<<20)
	o.MarkerBytes = cmp.Or(o.MarkerBytes, min(64<<20, o.SegmentSize))
	o.MarkerEntries = cmp.Or(o.MarkerEntries, 50_000)
	o.GarbageBytes = cmp.Or(o.GarbageBytes, 8*o.SegmentSize)
	o.InFlight = cmp.Or(o.InFlight, 64)
	o.ProposeTimeout = cmp.Or(o.ProposeTimeout, 30*time.Second)
	o.HeartbeatTimeout = cmp.Or(o.HeartbeatTimeout, 900*time.Millisecond)
	o.StallLimit = cmp.Or(o.StallLimit, 30*time.Second)
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.OnSlowDisk == nil {
		o.OnSlowDisk = func(string) {}
	}
	if o.OnFailure == nil {
		o.OnFailure = func(err error) { panic(err) }
	}
	return o
}

// Node is the storage and the groups of one process.
type Node struct {
	opts        Options
	log         *logstore.Store
	state       *state.Store
	member      uint16
	incarnation uint64
	process     uint64 // drawn by Open (reign.go)
	fresh       bool   // the store was made by this Open
	compactor   compactor
	failed      atomic.Bool
	failing     chan struct{} // closed when failed is set
	opened      time.Time
	port        *wire.Port     // nil: no other member is ever reached
	beats       *beat.Beats    // nil: as port
	watching    sync.WaitGroup // watchLeaders
	closing     chan struct{}
	look        chan struct{} // watchLeaders is to look now

	lock io.Closer // of the directory

	leaderships atomic.Uint64

	mu struct {
		sync.Mutex
		groups map[uint64]*Group
	}
}

// Open opens the node's storage in Options.Dir and recovers it. It refuses, with an error that
// wraps logstore.ErrLost, what has lost something that was on stable storage.
func Open(opts Options) (*Node, error) {
	n := &Node{opts: opts.withDefaults(), opened: time.Now(), process: rand.Uint64(),
		failing: make(chan struct{})}
	n.mu.groups, n.closing = map[uint64]*Group{}, make(chan struct{})
	n.look = make(chan struct{}, 1)
	if err := n.open(); err != nil {
		if pebble.IsCorruptionError(err) && !errors.Is(err, ErrLost) {
			err = fmt.Errorf("%w: %w", ErrLost, err)
		}
		return nil, errors.Join(fmt.Errorf("open node in %s: %w", n.opts.Dir, err), n.closeStores())
	}
	n.compactor.start(n)
	return n, nil
}

func (n *Node) open() (err error) {
	fs := n.opts.FS
	if err = fs.MkdirAll(n.opts.Dir, 0o700); err != nil {
		return err
	}
	if err = logstore.SyncDir(fs, fs.PathDir(n.opts.Dir)); err != nil {
		return err
	}
	if err = n.lockDir(); err != nil {
		return err
	}
	n.log, err = logstore.Open(logstore.Options{
		FS: fs, Dir: fs.PathJoin(n.opts.Dir, "segments"), SegmentSize: n.opts.SegmentSize,
		RingSize:  n.opts.RingSize,
		OnFailure: n.fail, OnFull: n.opts.OnFull, OnSync: n.opts.OnSync, Boot: n.opts.Boot,
		Logf: n.opts.Logf,
	})
	if err != nil {
		return err
	}
	if err = n.noteTail(); err != nil {
		return err
	}
	if err = n.loadMember(); err != nil {
		return err
	}
	n.state, err = state.Open(state.Options{
		FS: fs, Dir: fs.PathJoin(n.opts.Dir, "state"), Log: n.log, OnFailure: n.fail,
		Fatal: n.fatal, OnSlowDisk: n.opts.OnSlowDisk, Logf: n.opts.Logf,
	})
	if err != nil {
		return err
	}
	for _, id := range n.log.Groups() {
		if id == nodeGroup {
			continue
		}
		if g := n.holderOf(id); g != nil {
			if err := g.verify(); err != nil {
				return err
			}
		}
	}
	n.log.Loaded()
	return nil
}

// nodeGroup is where the log store keeps what concerns the node itself.
const nodeGroup = 0

// loadMember reads who this node is, and tells a fresh one: member 1 of a cluster of its own,
// unless it has joined one.
func (n *Node) loadMember() error {
	g := n.log.Group(nodeGroup)
	v, err := g.Get([]byte("member"))
	if err != nil {
		return err
	}
	if len(v) == 10 {
		n.member, n.incarnation = binary.LittleEndian.Uint16(v), binary.LittleEndian.Uint64(v[2:])
		return nil
	}
	n.fresh = true
	n.member, n.incarnation = cmp.Or(n.opts.Member, 1), cmp.Or(n.opts.Incarnation, rand.Uint64()|1)
	v = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint16(nil, n.member),
		n.incarnation)
	return g.SetAll(map[string][]byte{"member": v})
}

// Connect gives the node the port over which it reaches the other members. It is called once,
// before any group starts; without it there are none.
func (n *Node) Connect(p *wire.Port) {
	n.port = p
	n.beats = n.newBeats()
	n.watching.Go(n.watchLeaders)
}

// A start decides by values in the log store, not by rows: after a crash rows may be older than
// what was acknowledged.
var (
	keyPeers  = []byte("peers")
	keyOpened = []byte("opened")
)

// HasPeers reports whether any group of this node ever had, or was about to have, another member.
func (n *Node) HasPeers() bool { return n.noted(keyPeers) }

func (n *Node) expectPeers() error { return n.note(keyPeers) }

// OpenUp notes that other nodes are to reach this one, or one that is to join. It is on stable
// storage when OpenUp returns.
func (n *Node) OpenUp() error { return n.note(keyOpened) }

// OpenedUp reports whether OpenUp was ever called.
func (n *Node) OpenedUp() bool { return n.noted(keyOpened) }

func (n *Node) noted(key []byte) bool {
	v, err := n.log.Group(nodeGroup).Get(key)
	return err != nil || len(v) > 0
}

func (n *Node) note(key []byte) error {
	if n.noted(key) {
		return nil
	}
	// the mark follows: what start-up decides by is not lost unseen
	return n.log.Group(nodeGroup).SetAll(map[string][]byte{string(key): {1}})
}

// Incarnation tells this store from any other that claims to be the same member: a disk that was
// wiped has forgotten its votes.
func (n *Node) Incarnation() uint64 { return n.incarnation }

// Fresh reports whether Open found nothing and made a new store.
func (n *Node) Fresh() bool { return n.fresh }

// Member is the node's number in its cluster, never given twice: message IDs are made with it.
func (n *Node) Member() uint16 { return n.member }

// Group returns a group, readable but not taking part before Start.
func (n *Node) Group(id uint64) *Group {
	n.mu.Lock()
	defer n.mu.Unlock()
	if g := n.mu.groups[id]; g != nil {
		return g
	}
	g := &Group{
		node: n, id: id, log: n.newestLog(id),
		slots: make(chan struct{}, n.opts.InFlight), notify: make(chan bool, 8),
		pause: make(chan chan struct{}), stop: make(chan struct{}),
		handing: handing{turn: make(chan struct{}, 1)},
	}
	g.state = n.state.Rows(id, g.log)
	g.fsm = fsm{g: g, w: g.state.Writer()}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	n.mu.groups[id] = g
	return g
}

// verify compares, after a start, what the log, the marker and the state say of each other.
func (g *Group) verify() error {
	if err := g.fsm.load(); err != nil {
		return err
	}
	m, err := g.loadMarker()
	if err != nil {
		return fmt.Errorf("marker of group %d: %w", g.id, err)
	}
	if gone, err := g.retired(); gone || err != nil {
		return errors.Join(err, g.erase())
	}
	last, _ := g.log.Last()
	needed := uint64(0)
	if m != nil {
		needed, last = m.applied, max(last, m.index, m.applied)
	}
	index, term, err := g.state.Tidy(g.fsm.applied, needed)
	if err != nil {
		return err
	}
	if index > 0 {
		g.fsm.jump(index, term)
	}
	if m != nil {
		g.log.Compactable(m.index)
		if g.fsm.applied < m.applied {
			return fmt.Errorf("%w: the state of group %d is as of entry %d, its marker says %d",
				logstore.ErrLost, g.id, g.fsm.applied, m.applied)
		}
	}
	if g.fsm.applied > last {
		return fmt.Errorf("%w: the state of group %d is as of entry %d, its log ends at %d",
			logstore.ErrLost, g.id, g.fsm.applied, last)
	}
	return g.state.CountParts()
}

// fail reports the first failure.
func (n *Node) fail(err error) {
	if n.failed.CompareAndSwap(false, true) {
		close(n.failing)
		n.opts.OnFailure(err)
	}
}

// fatal reports a failure of a goroutine that cannot go on, and does not return.
func (n *Node) fatal(err error) {
	n.fail(err)
	select {}
}

// Close stops the groups and closes the storage. After a failure some goroutine may have stopped
// for good: then Close waits a moment only.
func (n *Node) Close() error {
	closed := make(chan error, 1)
	go func() { closed <- n.close() }()
	select {
	case err := <-closed:
		return err
	case <-n.failing:
	}
	select {
	case err := <-closed:
		return err
	case <-time.After(2 * time.Second):
		return errors.New("storage left open after a failure")
	}
}

func (n *Node) close() error {
	n.compactor.halt()
	close(n.closing)
	if n.beats != nil {
		n.beats.Close()
	}
	n.watching.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	errs := make(chan error, len(n.mu.groups))
	for _, g := range n.mu.groups {
		go func() { errs <- g.shutdown() }()
	}
	var err error
	for range n.mu.groups {
		err = errors.Join(err, <-errs)
	}
	return errors.Join(err, n.closeStores())
}

func (n *Node) closeStores() (err error) {
	if n.state != nil {
		for _, g := range n.mu.groups {
			err = errors.Join(err, g.state.Close())
		}
		err = errors.Join(err, n.state.Close(!n.failed.Load()))
	}
	if n.log != nil {
		err = errors.Join(err, n.log.Close())
	}
	if n.lock != nil {
		err = errors.Join(err, n.lock.Close())
	}
	return err
}

// Stats of a node.
type Stats struct {
	Log logstore.Stats
	// Pebble: octets written by flushes and compactions, files, and sizes.
	StateWritten, StateSize uint64
	MemTables               uint64
	// Leaderships counts how often this node has begun to lead a group, since it was started.
	Leaderships uint64
}

// Stats returns a snapshot; it costs some microseconds.
func (n *Node) Stats() Stats {
	m := n.state.Metrics()
	t := m.Total()
	return Stats{
		Log:          n.log.Stats(),
		StateWritten: t.TableBytesFlushed + t.TableBytesCompacted, StateSize: m.DiskSpaceUsage(),
		MemTables: m.MemTable.Size, Leaderships: n.leaderships.Load(),
	}
}
