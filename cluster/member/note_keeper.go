package member

import (
	"sync"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/wire"
)

// NoteKeeperOptions are what a NoteKeeper needs.
type NoteKeeperOptions struct {
	Notes Notes
	Self  wire.Identity
	State *control.State
	// Applied returns up to which entry of the control group's log this node has applied.
	Applied func() uint64
	// Errorf tells the operator that the note cannot be written.
	Errorf func(format string, args ...any)
}

// NoteKeeper keeps the note of a running node up to date. Safe for use by several goroutines.
type NoteKeeper struct {
	o NoteKeeperOptions

	mu     sync.Mutex
	log    uint64          // what the note says, or could not be made to say
	shared map[uint64]bool // the groups that were known then to have other voters
}

// NewNoteKeeper returns a NoteKeeper that has written nothing yet.
func NewNoteKeeper(o NoteKeeperOptions) *NoteKeeper { return &NoteKeeper{o: o} }

// Keep makes the note of a node that has other members tell so, and up to where its log of the
// control group goes.
func (k *NoteKeeper) Keep() {
	log := k.o.Applied()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.log = max(k.log, log)
	if err := k.o.Notes.Write(k.o.Self, k.log); err != nil {
		k.o.Errorf("%v", err)
	}
}

// Follow brings the note up to date when a group of this node has got other voters. That is written
// in the control group's log, so a log that ends before is from when it was alone.
func (k *NoteKeeper) Follow() {
	shared := map[uint64]bool{}
	for _, g := range k.o.State.Hosts(k.o.Self.Member) {
		if len(g.Observed.Voters) > 1 {
			shared[g.ID] = true
		}
	}
	k.mu.Lock()
	before := k.shared
	k.shared = shared
	k.mu.Unlock()
	for id := range shared {
		if !before[id] {
			k.Keep()
			return
		}
	}
}
