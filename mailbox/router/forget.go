package router

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/fifo"
	"github.com/postroad/postroad/mailbox"
	"github.com/postroad/postroad/mailbox/remote"
)

// forgets are dedup records whose recipients are settled, until they may be dropped: an append
// that was tried twice may arrive long after the other one, and must then meet its record.
type forgets struct {
	mu      sync.Mutex
	waiting fifo.Queue[forgetting]
	lost    uint64 // for want of room here, or of an owner; they are found again
	found   uint64
}

// forgetting is one record, in as few octets as will do.
type forgetting struct {
	record mailbox.DedupRecord
	shard  uint16
	since  uint32 // seconds since 1970
}

const (
	maxForgets  = 1_000_000 // that wait, in memory
	forgetEvery = 5 * time.Second
	forgetMost  = 5000 // records of one request
)

// Forget drops dedup records whose recipients the queue has settled, a while later. It does not
// block, and may be lost.
func (r *Router) Forget(shard int, records []mailbox.DedupRecord) {
	f := &r.forgets
	now := uint32(time.Now().Unix())
	f.mu.Lock()
	defer f.mu.Unlock()
	room := max(0, min(len(records), maxForgets-f.waiting.Len()))
	f.lost += uint64(len(records) - room)
	for _, record := range records[:room] {
		f.waiting.Push(forgetting{record, uint16(shard), now})
	}
}

// due takes the records that have waited for long enough, by shard.
func (f *forgets) due(now time.Time) map[int][]mailbox.DedupRecord {
	f.mu.Lock()
	defer f.mu.Unlock()
	until := now.Add(-remote.DropDedupAfter).Unix()
	var due map[int][]mailbox.DedupRecord
	for f.waiting.Len() > 0 && int64(f.waiting.First().since) <= until {
		x := f.waiting.Pop()
		if due == nil {
			due = map[int][]mailbox.DedupRecord{}
		}
		due[int(x.shard)] = append(due[int(x.shard)], x.record)
	}
	return due
}

func (f *forgets) count(lost, found int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost, f.found = f.lost+uint64(lost), f.found+uint64(found)
}

// Run drops the dedup records that may be dropped, until ctx ends.
func (r *Router) Run(ctx context.Context) {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	searched := time.Now()
	for {
		select {
		case now := <-tick.C:
			for shard, records := range r.forgets.due(now) {
				for some := range slices.Chunk(records, forgetMost) {
					if r.forgetNow(ctx, shard, some) != nil {
						r.forgets.count(len(some), 0)
					}
				}
			}
			if now.Sub(searched) >= orphanEvery {
				r.dropOrphans(ctx, now.Add(-orphanAge))
				searched = now
			}
		case <-ctx.Done():
			return
		}
	}
}

// forgetNow has the owner of a shard drop records.
func (r *Router) forgetNow(ctx context.Context, shard int, records []mailbox.DedupRecord) error {
	s, member := r.owner(shard)
	switch {
	case s != nil:
		return s.DropDedupRecords(records)
	case member == 0:
		return errNoOwner
	}
	ctx, cancel := context.WithTimeout(ctx, forgetEvery)
	defer cancel()
	body := remote.AppendRecords(binary.AppendUvarint(nil, uint64(shard)), records)
	return r.call(member)(ctx, remote.PathForget, bytes.NewReader(body), nil)
}
