package node

import (
	"context"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
)

// A cluster gets the shards of its mailboxes when somebody is to have a mailbox, not before: a node
// that only relays has no groups for them.

// makeShards gives the cluster its mailboxes, if it has none yet. Their groups come in a moment.
func (n *node) makeShards(ctx context.Context) error {
	if len(n.control.Shards()) > 0 {
		return nil
	}
	return n.changes.MakeShards(ctx, n.cfg().Cluster.MailboxShards)
}

// shardMaker makes the shards once there is a user who is to have a mailbox. It waits until all
// nodes know what they are.
type shardMaker struct {
	n        *node
	searched string // users up to this one have no mailbox
}

// look makes them when they are wanted.
func (s *shardMaker) look(ctx context.Context, do member.Do) {
	n := s.n
	if len(n.control.Shards()) > 0 || n.control.MinProtocol() < control.MailboxProtocol ||
		!s.findMailbox() {
		return
	}
	do(cluster.ControlGroup, "making the shards of the mailboxes",
		func() error { return n.makeShards(ctx) })
}

// searchStep is how many users are looked at in one round.
const searchStep = 200

// findMailbox looks for a user who is to have a mailbox, a few users at each call.
func (s *shardMaker) findMailbox() bool {
	users := s.n.users.List(s.searched, searchStep)
	for _, u := range users {
		if _, ok := s.n.mailboxSettings(u.Name); ok {
			return true
		}
		s.searched = u.Name
	}
	if len(users) < searchStep {
		s.searched = "" // from the first again: there may be new ones
	}
	return false
}
