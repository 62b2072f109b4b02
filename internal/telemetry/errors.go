package telemetry

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel"
)

// errorHandler passes the SDK's complaints to the log, at most one a minute: a receiver that is
// down would otherwise fill it.
func (t *Telemetry) errorHandler() otel.ErrorHandler {
	var mu sync.Mutex
	var last time.Time
	return otel.ErrorHandlerFunc(func(err error) {
		mu.Lock()
		now := time.Now()
		quiet := !last.IsZero() && now.Sub(last) < time.Minute
		if !quiet {
			last = now
		}
		mu.Unlock()
		if !quiet {
			t.logf("telemetry: %v (further failures are not logged for a minute)", err)
		}
	})
}
