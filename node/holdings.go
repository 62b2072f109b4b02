package node

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/postroad/postroad/cluster/control"
)

// held is this node's member of a group.
type held interface {
	comparable
	id() uint64
	stop(ctx context.Context) error // ends the part that this node takes, in good order
}

// part is a holding of any kind.
type part interface {
	id() uint64
	stop(ctx context.Context) error
	base() *ownership
}

// parts are all groups but the control group in which this node takes part.
func (n *node) parts() (all []part) {
	for _, h := range n.queues.list() {
		all = append(all, h)
	}
	for _, s := range n.shards.list() {
		all = append(all, s)
	}
	return all
}

// part returns this node's part in a group; nil: it takes none.
func (n *node) part(group uint64) part {
	if h := n.queues.get(group); h != nil {
		return h
	}
	if s := n.shards.get(group); s != nil {
		return s
	}
	return nil
}

// join makes this node take part in a group, if it does not yet.
func (n *node) join(g control.Group) error {
	first := g.State == control.GroupNew && g.Home == n.self.Member
	switch {
	case g.Kind == control.KindQueue && n.queues.get(g.ID) == nil:
		h, err := n.hold(g.ID, first)
		if err != nil {
			return err
		}
		n.queues.add(h)
	case g.Kind == control.KindMailbox && n.shards.get(g.ID) == nil:
		s, err := n.holdShard(g.ID, g.Shard, len(n.control.Shards()), first)
		if err != nil {
			return err
		}
		n.shards.add(s)
	}
	return nil
}

// leaveGroup ends this node's part in a group that has gone elsewhere, and deletes what it held of
// it.
func (n *node) leaveGroup(p part) error {
	ctx, cancel := context.WithTimeout(context.Background(), renewTime)
	defer cancel()
	p.stop(ctx)
	err := n.retire(p.id())
	switch p := p.(type) { // only now: it may be wanted here again, and begins anew then
	case *holding:
		n.queues.remove(p)
	case *shard:
		n.shards.remove(p)
	}
	return err
}

// retire deletes what this node holds of a group in which it does not take part any more.
func (n *node) retire(group uint64) error {
	err := n.store.Retire(group)
	if err == nil {
		n.log.Logf("group %d has gone elsewhere: what this node held of it is deleted", group)
	}
	return err
}

// holdings are the groups of one kind in which this node takes part.
type holdings[H held] struct {
	mu  sync.Mutex
	all []H // by number
}

func (hs *holdings[H]) add(h H) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.all = append(slices.Clone(hs.all), h)
	slices.SortFunc(hs.all, func(a, b H) int { return cmp.Compare(a.id(), b.id()) })
}

func (hs *holdings[H]) remove(h H) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.all = slices.DeleteFunc(slices.Clone(hs.all), func(o H) bool { return o == h })
}

// list returns the holdings; the slice does not change.
func (hs *holdings[H]) list() []H {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.all
}

// get returns the holding of a group; the zero value: this node takes no part in it.
func (hs *holdings[H]) get(id uint64) (none H) {
	for _, h := range hs.list() {
		if h.id() == id {
			return h
		}
	}
	return none
}

// stop ends all at once.
func (hs *holdings[H]) stop(ctx context.Context) error {
	var all sync.WaitGroup
	list := hs.list()
	errs := make([]error, len(list))
	for i, h := range list {
		all.Go(func() { errs[i] = h.stop(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}
