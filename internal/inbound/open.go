package inbound

import (
	"context"
	"sync/atomic"
)

// Open counts the connections of a server, and lets one that stops wait until there is none. Safe
// for use by several goroutines.
type Open struct {
	count    atomic.Int64
	stopping atomic.Bool
	ended    chan struct{} // a connection ended while the server stops
}

// NewOpen returns a count of none.
func NewOpen() *Open { return &Open{ended: make(chan struct{}, 1)} }

// Enter counts a connection, and reports whether the server stops already.
func (o *Open) Enter() (stopping bool) {
	o.count.Add(1)
	return o.stopping.Load()
}

// Leave takes back an Enter.
func (o *Open) Leave() {
	o.count.Add(-1)
	if o.stopping.Load() {
		select {
		case o.ended <- struct{}{}:
		default:
		}
	}
}

// Count returns how many are open.
func (o *Open) Count() int64 { return o.count.Load() }

// Stop says that the server stops.
func (o *Open) Stop() { o.stopping.Store(true) }

// Wait waits until none is open, after Stop, or returns ctx's error. One call at a time.
func (o *Open) Wait(ctx context.Context) error {
	for o.count.Load() > 0 {
		select {
		case <-o.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
