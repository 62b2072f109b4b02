package load

import (
	"context"
	"errors"
)

// Load is a load that runs. Its methods may be called on any goroutine.
type Load struct{}

// Start begins a load. It fails only for options that make no sense, and when the event loops do not start.
func Start(o Options) (*Load, error) {
	return nil, errors.New("bench/load: the generator lands within the hour")
}

// Wait waits until all messages are sent and answered, or until ctx ends, which is Stop, and returns the result.
func (l *Load) Wait(ctx context.Context) (*Result, error) { return nil, nil }

// Stop begins no further message; what is under way gets Options.Timeout to end.
func (l *Load) Stop() {}

// SetRate changes the rate of an open loop from now on, in messages a second.
func (l *Load) SetRate(rate float64) {}

// Progress returns how the load stands. One goroutine at a time may follow it.
func (l *Load) Progress() Progress { return Progress{} }
