package telemetry

import (
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Durations counts how long something took, in buckets. It costs some nanoseconds and no
// allocation, so that it may be on mail's way; the SDK's histogram costs a hundred for each reader
// of the metrics. Safe for use by several goroutines. Nobody needs to keep a nil one apart.
type Durations struct {
	bounds []time.Duration
	counts []atomic.Uint64 // one more than bounds
	sum    atomic.Int64    // nanoseconds
}

// NewDurations returns a histogram. bounds are the upper ends of its buckets, from small to large;
// one more has what took longer.
func NewDurations(bounds ...time.Duration) *Durations {
	return &Durations{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Record counts one. What is negative, because a clock was set back, counts as none.
func (d *Durations) Record(took time.Duration) {
	if d == nil {
		return
	}
	took = max(0, took)
	i := 0
	for i < len(d.bounds) && took > d.bounds[i] {
		i++
	}
	d.counts[i].Add(1)
	d.sum.Add(int64(took))
}

// point is what it has counted so far. A record that comes meanwhile may be in one part of it only.
func (d *Durations) point(start, now time.Time) metricdata.HistogramDataPoint[float64] {
	p := metricdata.HistogramDataPoint[float64]{Attributes: *attribute.EmptySet(), StartTime: start,
		Time: now, Sum: time.Duration(d.sum.Load()).Seconds()}
	for _, b := range d.bounds {
		p.Bounds = append(p.Bounds, b.Seconds())
	}
	for i := range d.counts {
		n := d.counts[i].Load()
		p.BucketCounts = append(p.BucketCounts, n)
		p.Count += n
	}
	return p
}

// Count returns how many it has counted.
func (d *Durations) Count() (n uint64) {
	for i := range d.counts {
		n += d.counts[i].Load()
	}
	return n
}
