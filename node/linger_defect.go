//go:build defect_nofence

package node

import (
	"context"
	"time"
)

// lingerLimit bounds how long a deposed owner goes on with the planted defect.
const lingerLimit = 30 * time.Second

// linger is half of a planted defect: a deposed owner waits for what it has under way, and proposes
// the outcomes when it leads again. The other half is in package queue, where they are taken. The
// fault run must fail with it.
func linger(t *tenure) {
	ctx, cancel := context.WithTimeout(context.Background(), lingerLimit)
	defer cancel()
	_ = t.scheduler.Shutdown(ctx)
	// the outcomes are proposed again and again meanwhile
	for t.scheduler.Stats().Unsettled > 0 && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
	}
}
