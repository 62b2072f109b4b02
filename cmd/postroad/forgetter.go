package main

import (
	"sync"
	"time"

	"github.com/postroad/postroad/mailbox"
)

// forgetter tells the shards what they may forget: together, because a command of its own for each record would cost as much as the delivery; and
// late, because the last owner of a queue may have been standing still. When it goes on it may find an append on its way that passed its
// last check in time: as long as the shard knows the key, that adds nothing.
//
// It is a ring of seconds. What it holds when the node ends is lost, and found by whoever looks for old records.
type forgetter struct {
	forget func(shard int, records []mailbox.Record)
	after  func(time.Duration, func()) // time.AfterFunc, but for tests

	mu    sync.Mutex
	ring  [forgetSeconds]map[int][]mailbox.Record // by shard
	now   int                                     // where records are added; the next one is the oldest
	total int
	ticks bool // a timer runs
}

const (
	forgetSeconds = 15
	forgetHolds   = 300_000 // records; beyond that the oldest go early
)

// add notes a record. The caller has locked f.mu.
func (f *forgetter) add(shard int, r mailbox.Record) {
	bucket := f.ring[f.now]
	if bucket == nil {
		bucket = map[int][]mailbox.Record{}
		f.ring[f.now] = bucket
	}
	bucket[shard] = append(bucket[shard], r)
	if f.total++; f.total > forgetHolds {
		f.turn()
	}
	if !f.ticks {
		f.ticks = true
		f.after(time.Second, f.tick)
	}
}

func (f *forgetter) tick() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn()
	if f.ticks = f.total > 0; f.ticks {
		f.after(time.Second, f.tick)
	}
}

// turn lets the oldest second's records go.
func (f *forgetter) turn() {
	f.now = (f.now + 1) % forgetSeconds
	for shard, records := range f.ring[f.now] {
		f.total -= len(records)
		f.forget(shard, records)
	}
	f.ring[f.now] = nil
}
