package node

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The collector's aim. By itself Go lets the heap grow to twice of what is alive before it
// collects: with 256 MiB of mail in memory a node had 660 MB. So the node says how much it may have
// in all: limits.memory, and what it needs besides. docs/limits.md has what was measured.
//
// A limit below what is alive would make the collector run all the time. So the base is generous,
// what grows with the node counts as it is, and where that was not enough the limit is raised.
const (
	// without mail: the program with its groups (64 MiB), the state's cache and tables of rows
	// (cluster/state: 96 MiB), commands on their way to the log and to the other members (64 MiB)
	baseMemory = 224 << 20
	// a connection with TLS, its buffers and what smtpd keeps of it
	connectionMemory = 32 << 10
	userMemory       = 1 << 10 // a user in the directory's view, with the indexes

	memoryEvery = time.Second
	moreMemory  = 32 << 20
	// The share of the processors that the collector may take before it gets more room, and below
	// which it has too much.
	collectorBusy, collectorIdle = 0.15, 0.02
	collectorOver                = 10 * time.Second // in which it is measured
)

// startMemory tells the collector how much memory the node may have, unless GOMEMLIMIT does.
func (n *node) startMemory(context.Context) error {
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	debug.SetMemoryLimit(n.memoryLimit(0))
	go n.watchMemory(n.background)
	return nil
}

// memoryLimit is what the node may have now; extra is what the collector asked for.
func (n *node) memoryLimit(extra int64) int64 {
	limit := n.budget.Limit() + baseMemory + extra
	open := n.smtp.Stats().Open
	if n.pop3 != nil {
		open += n.pop3.Stats().Open
	}
	return limit + open*connectionMemory + int64(n.users.Users())*userMemory
}

func (n *node) watchMemory(ctx context.Context) {
	ticker := time.NewTicker(memoryEvery)
	defer ticker.Stop()
	var c collector
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			gc, all := processorTime()
			debug.SetMemoryLimit(n.memoryLimit(c.extra(now, gc, all)))
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
