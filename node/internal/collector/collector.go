// Package collector gives the garbage collector the memory that a node may have, and more where
// that would keep it busy.
package collector

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	every      = time.Second
	step       = 4 << 20 // of the limit: each change of it stops the program for a moment
	moreMemory = 32 << 20
	// The share of the processors that the collector may take before it gets more room, and below
	// which it has too much.
	collectorBusy, collectorIdle = 0.15, 0.02
	collectorOver                = 10 * time.Second // in which it is measured
)

// Limit sets the limit of memory until ctx ends: what is wanted, and what the collector needs
// beyond.
func Limit(ctx context.Context, wanted func() int64) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var c collector
	limit := wanted()
	debug.SetMemoryLimit(limit)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			gc, all := processorTime()
			next := wanted() + c.extra(now, gc, all)
			if next > limit+step || next < limit-step {
				limit = next
				debug.SetMemoryLimit(limit)
			}
		}
	}
}

// collector is what is known of the garbage collector's work.
type collector struct {
	since   time.Time
	gc, all float64 // processor seconds at that time
	more    int64
}

// extra returns the octets that the collector needs beyond what was reckoned with, from the
// processor seconds that it and all have had.
func (c *collector) extra(now time.Time, gc, all float64) int64 {
	if !c.since.IsZero() && now.Sub(c.since) < collectorOver {
		return c.more
	}
	if spent := all - c.all; !c.since.IsZero() && spent > 0 {
		switch share := (gc - c.gc) / spent; {
		case share > collectorBusy:
			c.more += moreMemory
		case share < collectorIdle:
			c.more = max(0, c.more-moreMemory)
		}
	}
	c.since, c.gc, c.all = now, gc, all
	return c.more
}

// processorTime returns the processor seconds of the collector, without what was idle otherwise,
// and all that there were.
func processorTime() (gc, all float64) {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"}, {Name: "/cpu/classes/total:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64() - s[1].Value.Float64(), s[2].Value.Float64()
}
