// Package clock gives command time: a wall clock that never jumps. A step of the system's clock, an
// hour forwards or back, neither expires mail early nor delivers it twice, because only elapsed
// (monotonic) time counts while a process runs, and a start never begins before the newest time in
// the state.
package clock

import "time"

// Steady is a clock that starts at the later of the wall time and a floor and from there on follows
// the monotonic clock. Safe for use by several goroutines. In a testing/synctest bubble it is
// virtual.
type Steady struct {
	base  time.Time // wall part only
	start time.Time // has the monotonic reading
}

// NewSteady returns a clock that starts now, but not before floor (the newest command time seen).
func NewSteady(floor time.Time) *Steady {
	now := time.Now()
	base := now.Round(0)
	if floor.After(base) {
		base = floor.Round(0)
	}
	return &Steady{base: base, start: now}
}

// Now returns the command time.
func (c *Steady) Now() time.Time { return c.base.Add(time.Since(c.start)) }
