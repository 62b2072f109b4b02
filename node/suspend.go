package node

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/operate/admin/api"
)

// acknowledgePatience is how long a change waits for the groups: one that has lost its owner has
// another one by then.
const acknowledgePatience = 6 * time.Second

// recordPatience is how long a change waits for the control group: an election takes seconds, and
// an operator whose node has just died is in a hurry.
const recordPatience = 6 * time.Second

// record repeats a change whose outcome is not known. All of them may be made twice; that there is
// nothing to resume then says that the first did it.
func (n *node) record(ctx context.Context, change func(context.Context) (uint64, error)) (version uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, recordPatience)
	defer cancel()
	for again := false; ; again = true {
		version, err = change(ctx)
		switch {
		case again && errors.Is(err, control.ErrUnknown):
			return n.askInForce(ctx)
		case err == nil, errors.Is(err, control.ErrInvalid), !clock.Pause(ctx, 200*time.Millisecond):
			return version, err
		}
	}
}

// operatorsSuspensions answers the commands suspend and resume (admin.Suspensions).
type operatorsSuspensions struct{ n *node }

func (o operatorsSuspensions) Suspend(ctx context.Context, s api.Suspension, lasts time.Duration) (a api.Acknowledgement, err error) {
	version, err := o.n.record(ctx, func(ctx context.Context) (uint64, error) {
		return o.n.suspender.Suspend(ctx, control.Suspension{Kind: s.Kind, Name: s.Name, Reason: s.Reason}, lasts)
	})
	if err != nil {
		return a, said(err)
	}
	a = o.n.acknowledged(ctx, version)
	a.Suspension = s
	for _, now := range o.Suspensions() {
		if now.Kind == s.Kind && now.Name == s.Name {
			a.Suspension = now
		}
	}
	return a, nil
}

func (o operatorsSuspensions) Resume(ctx context.Context, s api.Suspension) (a api.Acknowledgement, err error) {
	version, err := o.n.record(ctx, func(ctx context.Context) (uint64, error) { return o.n.suspender.Resume(ctx, s.Kind, s.Name) })
	if err != nil {
		return a, said(err)
	}
	a = o.n.acknowledged(ctx, version)
	a.Suspension = s
	return a, nil
}

func (o operatorsSuspensions) Suspensions() (list []api.Suspension) {
	_, all := o.n.control.Suspensions()
	for _, s := range all {
		list = append(list, api.Suspension{Kind: s.Kind, Name: s.Name, Reason: s.Reason, Since: s.Since, Until: s.Until})
	}
	return list
}

// acknowledged asks all nodes until all queue groups have taken over a version, for a while.
func (n *node) acknowledged(ctx context.Context, version uint64) (a api.Acknowledgement) {
	ctx, cancel := context.WithTimeout(ctx, acknowledgePatience)
	defer cancel()
	got := map[uint64]api.Acknowledged{}
	if err := n.current(ctx); err != nil { // a group that was made just before must be among those that are asked
		return api.Acknowledgement{Groups: []api.Acknowledged{}, Missing: []api.Missing{{Node: n.cfg.Node.Name, Why: err.Error()}}}
	}
	for {
		for _, ack := range n.askAll(ctx, version) {
			got[ack.Group] = ack
		}
		a.Missing = nil
		for _, g := range n.queueGroups() {
			if _, ok := got[g.ID]; !ok {
				a.Missing = append(a.Missing, api.Missing{Group: g.ID, Home: g.Home, Why: "no node that answers owns it"})
			}
		}
		if len(a.Missing) == 0 || !clock.Pause(ctx, 200*time.Millisecond) {
			break
		}
	}
	a.Groups = []api.Acknowledged{}
	for _, ack := range got {
		a.Groups = append(a.Groups, ack)
	}
	slices.SortFunc(a.Groups, func(x, y api.Acknowledged) int { return cmp.Compare(x.Group, y.Group) })
	return a
}

// askAll asks all nodes once.
func (n *node) askAll(ctx context.Context, version uint64) (acks []api.Acknowledged) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, m := range n.control.Members() {
		all.Go(func() {
			var some []api.Acknowledged
			if m.ID == n.self.Member {
				some = n.acknowledge(ctx, version)
			} else if n.ask(ctx, m.ID, http.MethodPost, "/node/suspensions", suspendVersion{version}, &some) != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			acks = append(acks, some...)
		})
	}
	all.Wait()
	return acks
}
