package node

import (
	"context"
	"os"

	"github.com/postroad/postroad/node/internal/collector"
)

// The collector's aim. By itself Go lets the heap grow to twice of what is alive before it
// collects: with 256 MiB of mail in memory a node had 660 MB. So the node says how much it may have
// in all: limits.memory, and what it needs besides. docs/limits.md has what was measured.
//
// A limit below what is alive would make the collector run all the time. So the base is generous,
// what grows with the node counts as it is, and where that was not enough the limit is raised.
const (
	// without mail: the program with its groups (64 MiB), the state's cache and tables of rows
	// (cluster/state: 96 MiB), commands on their way to the log and to the other members (64 MiB)
	baseMemory = 224 << 20
	// a connection with TLS, its buffers and what smtpd keeps of it
	connectionMemory = 32 << 10
	userMemory       = 1 << 10 // a user in the directory's view, with the indexes
)

// startMemory tells the collector how much memory the node may have, unless GOMEMLIMIT does.
func (n *node) startMemory(context.Context) error {
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	go collector.Limit(n.background, n.memoryLimit)
	return nil
}

// memoryLimit is what the node may have now.
func (n *node) memoryLimit() int64 {
	limit := n.budget.Limit() + baseMemory
	open := n.smtp.Stats().Open
	if n.pop3 != nil {
		open += n.pop3.Stats().Open
	}
	return limit + open*connectionMemory + int64(n.users.Users())*userMemory
}
