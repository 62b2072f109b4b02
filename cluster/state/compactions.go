package state

import "github.com/cockroachdb/pebble/v2"

// compactions grants Pebble's compactions as Pebble's own scheduler does, which besides looks ten
// times a second whether it may grant another one. That may change with a flush and with the end of
// a compaction, of both of which it is told.
type compactions struct {
	*pebble.ConcurrencyLimitScheduler
}

func newCompactions() compactions {
	return compactions{pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()}
}

// UpdateGetAllowedWithoutPermission implements pebble.CompactionScheduler. Pebble calls it with its
// mutex held, which granting takes.
func (c compactions) UpdateGetAllowedWithoutPermission() {
	go func() {
		if ok, grant := c.TrySchedule(); ok {
			grant.Done() // nothing was compacted; whatever waits is granted
		}
	}()
}
