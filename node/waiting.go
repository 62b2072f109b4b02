package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/sdnotify"
)

const (
	// sayEvery is how often a start that waits says so, in the log and to the service manager.
	sayEvery = 3 * time.Second
	// sayMore is how much longer the service manager is asked to wait each time, for what that is
	// more than it would have waited anyway.
	sayMore = time.Minute
)

// waits is what a start waits for. A start that waits in silence cannot be told from one that
// hangs. A nil *waits says nothing.
type waits struct {
	log     *maillog.Log
	service *sdnotify.Manager

	mu    sync.Mutex
	what  string
	since time.Time
}

// say sets what is waited for from now on.
func (w *waits) say(format string, args ...any) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if what := fmt.Sprintf(format, args...); what != w.what {
		w.what, w.since = what, time.Now()
	}
}

// now is what is waited for, in words.
func (w *waits) now() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf(
		"starting: waits for %s (%v)",
		w.what,
		time.Since(w.since).Round(time.Second),
	)
}

// run says it every few seconds until ctx ends.
func (w *waits) run(ctx context.Context) {
	tick := time.NewTicker(sayEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			what := w.now()
			w.log.Logf("%s", what)
			if err := w.service.Waiting(what, sayMore); err != nil {
				w.log.Errorf("%v", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
