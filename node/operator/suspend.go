package operator

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
func (op *Operator) record(
	ctx context.Context, change func(context.Context) (uint64, error),
) (version uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, recordPatience)
	defer cancel()
	for again := false; ; again = true {
		version, err = change(ctx)
		switch {
		case again && errors.Is(err, control.ErrUnknown):
			return op.askInForce(ctx)
		case err == nil, errors.Is(err, control.ErrInvalid),
			!clock.Pause(ctx, 200*time.Millisecond):
			return version, err
		}
	}
}

// Suspend records a suspension, and has all queue groups acknowledge it.
func (op *Operator) Suspend(
	ctx context.Context, s api.Suspension, lasts time.Duration,
) (a api.Acknowledgement, err error) {
	version, err := op.record(ctx, func(ctx context.Context) (uint64, error) {
		one := control.Suspension{Kind: s.Kind, Name: s.Name, Reason: s.Reason}
		return op.o.Suspender.Suspend(ctx, one, lasts)
	})
	if err != nil {
		return a, said(err)
	}
	a = op.acknowledged(ctx, version)
	a.Suspension = s
	for _, now := range op.Suspensions() {
		if now.Kind == s.Kind && now.Name == s.Name {
			a.Suspension = now
		}
	}
	return a, nil
}

// Resume ends a suspension, and has all queue groups acknowledge that.
func (op *Operator) Resume(
	ctx context.Context, s api.Suspension,
) (a api.Acknowledgement, err error) {
	version, err := op.record(ctx, func(ctx context.Context) (uint64, error) {
		return op.o.Suspender.Resume(ctx, s.Kind, s.Name)
	})
	if err != nil {
		return a, said(err)
	}
	a = op.acknowledged(ctx, version)
	a.Suspension = s
	return a, nil
}

// Suspensions are all that this node knows to be in force.
func (op *Operator) Suspensions() (list []api.Suspension) {
	_, all := op.o.State.Suspensions()
	for _, s := range all {
		list = append(list, api.Suspension{
			Kind: s.Kind, Name: s.Name, Reason: s.Reason, Since: api.At(s.Since),
			Until: api.At(s.Until),
		})
	}
	return list
}

// acknowledged asks all nodes until all queue groups have taken over a version, for a while.
func (op *Operator) acknowledged(ctx context.Context, version uint64) (a api.Acknowledgement) {
	ctx, cancel := context.WithTimeout(ctx, acknowledgePatience)
	defer cancel()
	got := map[uint64]api.Acknowledged{}
	// A group that was made just before must be among those that are asked.
	if err := op.o.Current(ctx); err != nil {
		return api.Acknowledgement{
			Groups:  []api.Acknowledged{},
			Missing: []api.Missing{{Node: op.o.Name, Why: err.Error()}},
		}
	}
	for {
		for _, ack := range op.askAll(ctx, version) {
			got[ack.Group] = ack
		}
		a.Missing = nil
		for _, g := range op.QueueGroups() {
			if _, ok := got[g.ID]; !ok {
				a.Missing = append(a.Missing, api.Missing{
					Group: g.ID, Home: g.Home, Why: "no node that answers owns it",
				})
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
	slices.SortFunc(a.Groups, func(x, y api.Acknowledged) int {
		return cmp.Compare(x.Group, y.Group)
	})
	return a
}

// askAll asks all nodes once.
func (op *Operator) askAll(ctx context.Context, version uint64) (acks []api.Acknowledged) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, m := range op.o.State.Members() {
		all.Go(func() {
			some := op.askOne(ctx, m.ID, version)
			mu.Lock()
			defer mu.Unlock()
			acks = append(acks, some...)
		})
	}
	all.Wait()
	return acks
}

// askOne asks one node, which may be this one; who does not answer has acknowledged nothing.
func (op *Operator) askOne(
	ctx context.Context, id uint16, version uint64,
) (acks []api.Acknowledged) {
	if id == op.o.Member {
		return op.acknowledge(ctx, version)
	}
	want := suspendVersion{version}
	if err := op.o.Ask(ctx, id, http.MethodPost, suspensionsPath, want, &acks); err != nil {
		return nil
	}
	return acks
}
