//go:build defect_nofence

package main

import (
	"context"
	"time"
)

// linger is half of a planted defect: a deposed owner waits for what it has under way, and proposes the outcomes when it leads again. The
// other half is in package queue, where they are taken. The fault run must fail with it.
func linger(t *tenure) {
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
	defer cancel()
	_ = t.scheduler.Shutdown(ctx)
	<-ctx.Done() // the outcomes are proposed again and again meanwhile
}
