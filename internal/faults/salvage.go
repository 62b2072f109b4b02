package faults

import (
	"context"
	"fmt"
	"maps"
)

// salvage puts messages in again that a node named when it stopped: `postroad queue salvage`.
func (d *Driver) salvage(ctx context.Context, n *Node) error {
	return fmt.Errorf("%s asks for `postroad queue salvage`, which this kit does not know yet:\n%s",
		n.Name, n.Log())
}

// Named returns the queue IDs of messages that nodes named when they stopped.
func (d *Driver) Named() map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.mu.named)
}
