package faults

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"strings"
)

// queueID is how a node writes the queue ID of a message.
var queueID = regexp.MustCompile(`\b[0-9a-z]{16}\b`)

// salvage puts in again what a node named when it stopped because it was told to take back what it
// had applied, and starts it.
func (d *Driver) salvage(ctx context.Context, n *Node) error {
	words := n.Log()
	if i := strings.LastIndex(words, "\npostroad: "); i >= 0 {
		words = words[i:]
	}
	d.name(words)
	err := d.insist(ctx, d.patience(), func(ctx context.Context) error {
		out, err := n.Run(ctx, "queue", "salvage")
		d.name(out)
		d.say("   %s: queue salvage: %s", n.Name, strings.TrimSpace(out))
		return err
	})
	if err != nil {
		return fmt.Errorf("%s asks for `postroad queue salvage`: %w\n%s", n.Name, err, words)
	}
	if n.dead() {
		return n.Start()
	}
	return nil
}

// name notes the queue IDs in what a node said of messages that it cannot keep.
func (d *Driver) name(words string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.named == nil {
		d.mu.named = map[string]bool{}
	}
	for _, id := range queueID.FindAllString(words, -1) {
		d.mu.named[id] = true
	}
}

// Named returns the queue IDs of messages that nodes named when they stopped.
func (d *Driver) Named() map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.mu.named)
}
