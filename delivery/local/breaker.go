package local

import (
	"sync"
	"sync/atomic"
	"time"
)

// breaker is a circuit breaker for each shard: it knows the shards that were found to have no
// owner. A message that waits for an owner holds a place at the local site, and soon the messages
// of one shard would hold all of them; so the other messages for the shard are put off at once,
// until a probe comes through.
type breaker struct {
	patience time.Duration // a probe waits so long for an owner
	count    atomic.Int32  // of shards, so that it costs nothing when all are well
	mu       sync.Mutex
	until    map[int]time.Time // by shard: when the next may probe
}

// breakerPause is between two probes of a shard.
const breakerPause = time.Second

// putOff reports whether a message for a shard is not to be tried now. After the pause, the first
// message probes the shard.
func (b *breaker) putOff(shard int) bool {
	if b.count.Load() == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	until, open := b.until[shard]
	if !open {
		return false
	}
	now := time.Now()
	if now.Before(until) {
		return true
	}
	b.until[shard] = now.Add(b.patience + breakerPause)
	return false
}

// refused notes that a shard has no owner.
func (b *breaker) refused(shard int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until == nil {
		b.until = map[int]time.Time{}
	}
	b.until[shard] = time.Now().Add(breakerPause)
	b.count.Store(int32(len(b.until)))
}

// answered notes that it has one.
func (b *breaker) answered(shard int) {
	if b.count.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.until, shard)
	b.count.Store(int32(len(b.until)))
}
