package node

import (
	"time"

	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/telemetry"
)

// durations are the histograms of a node.
type durations struct {
	acceptance, lookup, age, attempt *telemetry.Durations
}

// newDurations makes them. The bounds are few: each is a series of the metrics on each node.
func newDurations() durations {
	const ms = time.Millisecond
	quick := []time.Duration{ms, 2 * ms, 5 * ms, 10 * ms, 25 * ms, 50 * ms, 100 * ms, 250 * ms,
		time.Second, 5 * time.Second, 30 * time.Second}
	outside := []time.Duration{5 * ms, 10 * ms, 25 * ms, 50 * ms, 100 * ms, 250 * ms, 500 * ms,
		time.Second, 2500 * ms, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute,
		5 * time.Minute}
	waits := []time.Duration{50 * ms, 250 * ms, time.Second, 5 * time.Second, 15 * time.Second,
		time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour, 12 * time.Hour,
		24 * time.Hour, 72 * time.Hour}
	return durations{
		acceptance: telemetry.NewDurations(quick...), lookup: telemetry.NewDurations(outside...),
		age: telemetry.NewDurations(waits...), attempt: telemetry.NewDurations(outside...),
	}
}

// timed counts how long what the scheduler tells of has taken, and hands it on to the log.
type timed struct {
	maillog.Sink
	to *durations
}

// Log takes a record of one recipient.
func (t timed) Log(r *maillog.Record) {
	switch r.Type {
	case maillog.Delivery:
		t.to.age.Record(r.At.Sub(r.Created))
		t.to.attempt.Record(r.Delays[3])
	case maillog.TransientFailure, maillog.Bounce:
		if r.Delays[3] > 0 { // else nothing was attempted
			t.to.attempt.Record(r.Delays[3])
		}
	}
	t.Sink.Log(r)
}
