package clock

import (
	"sync/atomic"
	"time"
)

// An idle process costs its wake-ups, more than what it does in each. So what looks around every
// now and then does so in wake-ups that there are anyhow. The process has one row of common
// moments, Step apart. What wakes it at that pace (the cluster's frames of heartbeats) tells of it
// by Beat, which moves the row there; everybody else waits for Together.

// Step is the time between two common moments.
const Step = 150 * time.Millisecond

var (
	processStart = time.Now()
	lastBeat     atomic.Int64 // since processStart
)

// Beat tells that the process is awake now, and will be again every Step.
func Beat() { lastBeat.Store(int64(time.Since(processStart))) }

// Together returns how long to wait for the last common moment that is at most d away, or d when
// that is less than Step. Common moments do not come to the millisecond: to look at every second
// one takes a d that is a little more than twice Step.
func Together(d time.Duration) time.Duration {
	return together(d, time.Since(processStart)-time.Duration(lastBeat.Load()))
}

// together is Together when the last beat was so long ago.
func together(d, ago time.Duration) time.Duration {
	if d < Step {
		return d
	}
	phase := (ago%Step + Step) % Step
	return (d+phase)/Step*Step - phase
}
