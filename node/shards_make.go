package node

import (
	"context"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
)

// A cluster gets the shards of its mailboxes when somebody is to have a mailbox, not before: a node
// that only relays has no groups for them.

// makeShards gives the cluster its mailboxes, if it has none yet. Their groups come in a moment.
func (n *node) makeShards(ctx context.Context) error {
	if len(n.control.Shards()) > 0 {
		return nil
	}
	return n.changes.MakeShards(ctx, n.cfg.Cluster.MailboxShards)
}

// shards makes them once there is a user who is to have a mailbox. It waits until all nodes know
// what they are.
func (g *governor) shards(ctx context.Context) {
	n := g.n
	if len(n.control.Shards()) > 0 || n.control.MinProtocol() < control.MailboxProtocol || !g.findMailbox() {
		return
	}
	g.do(cluster.ControlGroup, "making the shards of the mailboxes", func() error { return n.makeShards(ctx) })
}

// searchStep is how many users are looked at in one round.
const searchStep = 200

// findMailbox looks for a user who is to have a mailbox, a few users at each call.
func (g *governor) findMailbox() bool {
	users := g.n.users.List(g.searched, searchStep)
	for _, u := range users {
		if _, ok := g.n.mailboxSettings(u.Name); ok {
			return true
		}
		g.searched = u.Name
	}
	if len(users) < searchStep {
		g.searched = "" // from the first again: there may be new ones
	}
	return false
}
