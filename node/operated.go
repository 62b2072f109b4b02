package node

import (
	"context"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/node/operator"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/queue"
)

// This file connects what operators ask for with what this node has.

// newOperator makes what does the verbs of operators.
func (n *node) newOperator(group *cluster.Group) *operator.Operator {
	return operator.New(operator.Options{
		Name: n.cfg().Node.Name, Member: n.self.Member,
		State: n.control, Changes: n.changes, Suspender: n.suspender, Group: group,
		Open: n.openUp, Members: n.knownMembers, Ask: n.store.Ask, Report: n.report,
		WouldChange: n.wouldChange,
		Absent:      func() []member.Absence { return n.detector.Absent(0) },
		Reachable:   n.detector.Reachable, Current: n.current,
		Queues: func() (all []operator.Queue) {
			for _, h := range n.queues.List() {
				all = append(all, operated{h})
			}
			return all
		},
		Keys: n.secrets.Export,
		Log:  n.log.Log, Errorf: n.log.Errorf, Now: n.now,
	})
}

// operatorsMailboxes are the mailboxes of the cluster for the administration.
func (n *node) operatorsMailboxes() operator.Mailboxes {
	return operator.Mailboxes{
		Boxes: n.boxes, Settings: n.mailboxSettings, NextID: n.ids.Next,
	}
}

// operatorsUsers is the directory for the administration.
func (n *node) operatorsUsers() operator.Users {
	return operator.Users{
		Editor: n.editor, Directory: n.users, Boxes: n.boxes, Outside: n.syncSource,
	}
}

// openUp opens this node to others: they may join it from now on.
func (n *node) openUp(ctx context.Context) error {
	m, ok := n.control.Member(n.self.Member)
	if ok {
		if err := misnamed(n.cfg(), m.Name, m.ID); err != nil {
			return api.Permanent(err) // before others know it under that name
		}
	}
	if err := n.store.OpenUp(); err != nil {
		return err
	}
	if err := n.listenCluster(ctx); err != nil {
		return err
	}
	m, ok = n.control.Member(n.self.Member)
	if ok && m.Address != n.cfg().Cluster.Advertise {
		return n.locator.SetAddress(ctx, m.ID, n.cfg().Cluster.Advertise)
	}
	return nil
}

// operated is a holding as operators need it (operator.Queue).
type operated struct{ h *holding }

func (q operated) ID() uint64                              { return q.h.group.ID() }
func (q operated) Suspensions() (queue.Suspensions, error) { return q.h.queue.Suspensions() }
func (q operated) Lock()                                   { q.h.obeying.Lock() }
func (q operated) Unlock()                                 { q.h.obeying.Unlock() }

func (q operated) Suspend(
	ctx context.Context, version uint64, all []queue.Suspension,
) (queue.Suspensions, error) {
	return q.h.queue.Suspend(ctx, version, all)
}

func (q operated) Term() *operator.Term {
	t := q.h.tenure.Load()
	if t == nil {
		return nil
	}
	return &operator.Term{Queue: q.h.queue, Scheduler: t.scheduler, Holds: t.holds}
}
