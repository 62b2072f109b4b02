package run

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/bench/record"
	"github.com/postroad/postroad/bench/report"
)

// account is what a group has used between two moments.
type account struct {
	group   *measure.Group
	cpu     time.Duration
	written int64

	cancel  context.CancelFunc
	sampler sync.WaitGroup
	peak    int64 // owned by the sampler until it has ended
}

// memorySample is how often the memory is looked at. A look costs the kernel a walk over the pages
// of each process, not the system under test.
const memorySample = 400 * time.Millisecond

// openAccount begins to count.
func openAccount(ctx context.Context, g *measure.Group) *account {
	ctx, cancel := context.WithCancel(ctx)
	a := &account{group: g, cancel: cancel}
	a.sampler.Go(func() {
		for {
			a.peak = max(a.peak, g.Memory())
			select {
			case <-ctx.Done():
				return
			case <-time.After(memorySample):
			}
		}
	})
	a.cpu, a.written = g.CPU(), g.Written()
	return a
}

// close ends the count and turns its members into what was used since.
func (a *account) close() {
	a.cpu, a.written = a.group.CPU()-a.cpu, a.group.Written()-a.written
	a.cancel()
	a.sampler.Wait()
	a.peak = max(a.peak, a.group.Memory())
}

// settle is how long a system may take to put away what it has delivered: that work is charged to
// it, the time is not.
const settle = 300 * time.Millisecond

// arrival is what a received log says of when messages arrived.
type arrival struct {
	first, last time.Time
	p50, p99    float64 // from MAIL to the destination's 250, milliseconds
}

// maxTimed is of how many messages the way is timed: every so many-th when there are more.
const maxTimed = 50_000

// timed compares the times of both logs.
func timed(sent *record.SentLog, received *record.ReceivedLog) (a arrival) {
	every := sent.Len()/maxTimed + 1
	begun := make(map[string]time.Time, min(sent.Len(), maxTimed)+1)
	i := 0
	for m := range sent.All() {
		if i++; i%every == 0 {
			begun[m.ID] = m.Begun
		}
	}
	var took []float64
	for r := range received.All() {
		if a.first.IsZero() || r.Accepted.Before(a.first) {
			a.first = r.Accepted
		}
		if r.Accepted.After(a.last) {
			a.last = r.Accepted
		}
		if at, ok := begun[r.ID]; ok && r.Sender != "" {
			took = append(took, float64(r.Accepted.Sub(at).Microseconds())/1000)
		}
	}
	a.p50, a.p99 = quantiles(took)
	return a
}

// timeline counts arrivals by the step, from a moment on.
func timeline(received *record.ReceivedLog, from time.Time) (steps []int64) {
	const most = 4 * 600
	for r := range received.All() {
		i := int(r.Accepted.Sub(from) / report.TimelineStep)
		if i < 0 || i >= most {
			continue
		}
		for len(steps) <= i {
			steps = append(steps, 0)
		}
		steps[i]++
	}
	return steps
}

func quantiles(v []float64) (p50, p99 float64) {
	if len(v) == 0 {
		return 0, 0
	}
	slices.Sort(v)
	return v[(len(v)-1)/2], v[(len(v)-1)*99/100]
}
