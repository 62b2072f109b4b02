package node

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/mailbox/router"
)

// ailing are the shards that were found to have no owner. Who waits for one holds a place at the
// local site, and soon the messages of one shard would hold all of them; so until a probe comes
// through, the other messages for it are put off at once.
type ailing struct {
	count atomic.Int32 // of shards, so that it costs nothing when all are well
	mu    sync.Mutex
	until map[int]time.Time // by shard: when the next may probe
}

// ailingPause is between two probes of a shard. A probe itself waits for an owner for
// ownerPatience.
const ailingPause = time.Second

// putOff reports whether a message for a shard is not to be tried now. Who is the first after the
// pause is the probe.
func (a *ailing) putOff(shard int) bool {
	if a.count.Load() == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	until, bad := a.until[shard]
	if !bad {
		return false
	}
	now := time.Now()
	if now.Before(until) {
		return true
	}
	a.until[shard] = now.Add(router.OwnerPatience + ailingPause)
	return false
}

// refused notes that a shard has no owner.
func (a *ailing) refused(shard int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.until == nil {
		a.until = map[int]time.Time{}
	}
	a.until[shard] = time.Now().Add(ailingPause)
	a.count.Store(int32(len(a.until)))
}

// answered notes that it has one.
func (a *ailing) answered(shard int) {
	if a.count.Load() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.until, shard)
	a.count.Store(int32(len(a.until)))
}
