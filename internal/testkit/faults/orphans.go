package faults

import (
	"context"
	"time"

	"github.com/postroad/postroad/internal/clock"
)

// Orphans are the messages of a node that has died: it had accepted them and not delivered them.
type Orphans struct {
	Count int
	node  int
	wait  map[string]bool // by ID
	seen  int             // of the deliveries
	since time.Time
}

// FindOrphans returns the orphans of a node that was killed at a time and is gone.
func FindOrphans(w *World, tries []Try, node int, killed time.Time) *Orphans {
	o := &Orphans{node: node, wait: map[string]bool{}, since: killed}
	for i := range tries {
		if t := &tries[i]; t.Node == node && len(t.Accepted) > 0 && !t.At.After(killed) {
			o.wait[t.ID] = true
		}
	}
	for _, d := range w.Sink.Deliveries() {
		if d.Accepted.Before(killed) {
			delete(o.wait, d.ID)
		}
		o.seen++
	}
	o.Count = len(o.wait)
	return o
}

// AwaitFirst waits until another node delivers one of the orphans, and returns how long after the
// kill that was; false: ctx ended, or there are none.
func (o *Orphans) AwaitFirst(ctx context.Context, w *World) (time.Duration, bool) {
	for o.Count > 0 {
		got := w.Sink.Since(o.seen)
		o.seen += len(got)
		for i := range got {
			if o.wait[got[i].ID] && numberOf(got[i].Remote.Addr()) != o.node {
				return got[i].Accepted.Sub(o.since), true
			}
		}
		if !clock.Pause(ctx, 20*time.Millisecond) {
			break
		}
	}
	return 0, false
}
