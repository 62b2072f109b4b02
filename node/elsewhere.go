package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/queue"
)

// elsewhere proposes at whoever owns another queue group; nil: the group is gone.
func (n *node) elsewhere(group uint64) queue.Proposer {
	if g, ok := n.control.Group(group); !ok || g.State == control.GroupRetired {
		return nil
	}
	return otherGroup{n, group}
}

// otherGroup is a queue group in which this node may take no part.
type otherGroup struct {
	n     *node
	group uint64
}

// Propose asks the group's members one after the other: who does not lead it refuses. It is refused
// when all do.
func (o otherGroup) Propose(
	ctx context.Context,
	data []byte,
	parts [][]byte,
) (result any, err error) {
	if h := o.n.queues.Get(o.group); h != nil && h.group.Leading() != 0 {
		if err := h.queue.RoomFor(data); err != nil {
			return nil, fmt.Errorf("%w: %w", queue.ErrRefused, err)
		}
		return h.group.Propose(ctx, data, parts)
	}
	g, _ := o.n.control.Group(o.group)
	all := fmt.Errorf("%w: group %d has no leader now", cluster.ErrRefused, o.group)
	for _, member := range g.Observed.Voters {
		if member == o.n.self.Member || !o.n.detector.Reachable(member) {
			continue
		}
		result, err := o.n.store.ProposeAt(ctx, member, o.group, queue.ParseResult, data, parts)
		if err == nil || !errors.Is(err, cluster.ErrRefused) {
			return result, err
		}
		all = err
	}
	return nil, all
}

// roomFor refuses mail from another group when there is no room for it, as for mail from clients.
func (n *node) roomFor() error {
	if f := n.pressure.Failure(); f != nil {
		return fmt.Errorf("%s has too little free disk space", n.cfg().Node.Name)
	}
	if n.budget.Used() >= n.budget.Limit() {
		return fmt.Errorf("%s has no memory left for mail (limits.memory)", n.cfg().Node.Name)
	}
	return nil
}
