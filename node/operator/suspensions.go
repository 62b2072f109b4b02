package operator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/queue"
)

// A suspension is recorded in the control group. Each queue group's owner takes the list over into
// the group's own log, as soon as it sees a newer version of it; whoever changed it asks all nodes
// until all groups have. A new owner begins no attempt before it has asked the control group's
// leader which version is in force, and has taken that over. Should the control group be without a
// leader for so long that mail would suffer, it goes on with what its group and its node know of:
// what a group has acknowledged is in its log, and of what it has not the operator was told.

// suspensionPatience is how long a new owner waits for the control group's word before it begins to
// deliver.
const suspensionPatience = 10 * time.Second

// suspensionKinds are what the control state's words mean to a queue.
var suspensionKinds = map[string]queue.SuspensionKind{
	"domain": queue.SuspendDomain, "site": queue.SuspendSite,
	"tenant": queue.SuspendTenant, "campaign": queue.SuspendCampaign,
}

// suspensionsPath is where a member says which version is in force, and acknowledges one.
const suspensionsPath = "/node/suspensions"

// suspendVersion is what members tell each other: which version is in force, or is to be
// acknowledged.
type suspendVersion struct {
	Version uint64 `json:"version"`
}

// Routes serves what the operators of other members ask of this one.
func (op *Operator) Routes(m *http.ServeMux) {
	m.HandleFunc("POST "+configPath, op.serveJudge)
	m.HandleFunc("GET "+suspensionsPath, func(w http.ResponseWriter, r *http.Request) {
		version, err := op.suspensionsInForce()
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		_ = json.NewEncoder(w).Encode(suspendVersion{version})
	})
	m.HandleFunc("POST "+suspensionsPath, func(w http.ResponseWriter, r *http.Request) {
		var q suspendVersion
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(op.acknowledge(r.Context(), q.Version))
	})
	op.newerRoutes(m)
}

var errNoControlLeader = errors.New("the control group has no leader")

// suspensionsInForce is the newest version there is. Only the control group's leader can tell.
func (op *Operator) suspensionsInForce() (version uint64, err error) {
	term := op.o.Group.Leading()
	version, _ = op.o.State.Suspensions()
	if !op.o.Group.Holds(term) {
		return 0, errNoControlLeader
	}
	return version, nil
}

// askInForce asks the control group's leader.
func (op *Operator) askInForce(ctx context.Context) (version uint64, err error) {
	leader, ok := op.o.Group.Leader()
	switch {
	case !ok:
		return 0, errNoControlLeader
	case leader == op.o.Member:
		return op.suspensionsInForce()
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	// A member that died with the group's leader would be asked for all that time. It ends with
	// this question.
	go func() {
		for clock.Pause(ctx, 20*time.Millisecond) {
			if now, ok := op.o.Group.Leader(); !ok || now != leader {
				cancel()
			}
		}
	}()
	var v suspendVersion
	err = op.o.Ask(ctx, leader, http.MethodGet, suspensionsPath, nil, &v)
	answer := (*cluster.Answer)(nil)
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return 0, nil // an older version leads: there are no suspensions yet
	}
	return v.Version, err
}

// knowSuspensions returns when this node knows all that is in force now.
func (op *Operator) knowSuspensions(ctx context.Context) error {
	for {
		version, err := op.askInForce(ctx)
		if err == nil {
			err = op.awaitSuspensions(ctx, version)
		}
		if err == nil || !clock.Pause(ctx, 100*time.Millisecond) {
			return err
		}
	}
}

// awaitSuspensions waits until this node has heard of a version.
func (op *Operator) awaitSuspensions(ctx context.Context, version uint64) error {
	for {
		known, _ := op.o.State.Suspensions()
		if known >= version {
			return nil
		}
		if !clock.Pause(ctx, 5*time.Millisecond) {
			return fmt.Errorf("this node knows version %d of the suspensions, not yet %d: %w",
				known, version, ctx.Err())
		}
	}
}

// Learn makes a new owner take over what is suspended, before it begins an attempt. An error means
// that ctx has ended.
func (op *Operator) Learn(ctx context.Context, q Queue) error {
	patient, cancel := context.WithTimeout(ctx, suspensionPatience)
	defer cancel()
	if err := op.knowSuspensions(patient); err != nil && ctx.Err() == nil {
		op.o.Errorf(
			"group %d: which suspensions are in force cannot be learned: %v; it goes on with "+
				"those that it has acknowledged", q.ID(), err)
	}
	for ctx.Err() == nil {
		if _, err := op.Obey(ctx, q); err == nil {
			return nil
		}
		clock.Pause(ctx, 100*time.Millisecond)
	}
	return ctx.Err()
}

// Obey has a queue that this node owns take over the list that this node knows, if that is newer.
func (op *Operator) Obey(ctx context.Context, q Queue) (queue.Suspensions, error) {
	q.Lock()
	defer q.Unlock()
	version, all := op.o.State.Suspensions()
	have, err := q.Suspensions()
	if err != nil || have.Version >= version {
		return have, err
	}
	now := op.o.Suspender.Now()
	list := make([]queue.Suspension, 0, len(all))
	for _, s := range all {
		kind, ok := suspensionKinds[s.Kind]
		one := queue.Suspension{Kind: kind, Name: s.Name, Reason: s.Reason, Serial: s.Serial}
		if !s.Until.IsZero() {
			one.Lasts = s.Until.Sub(now)
		}
		if ok && (s.Until.IsZero() || one.Lasts >= time.Millisecond) {
			list = append(list, one)
		}
	}
	return q.Suspend(ctx, version, list)
}

// acknowledge has the queues that this node owns take over a version, and says which did.
func (op *Operator) acknowledge(ctx context.Context, version uint64) []api.Acknowledged {
	ctx, cancel := context.WithTimeout(ctx, acknowledgePatience/2)
	defer cancel()
	acks := []api.Acknowledged{}
	if op.awaitSuspensions(ctx, version) != nil {
		return acks
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, q := range op.o.Queues() {
		if q.Term() == nil {
			continue
		}
		all.Go(func() {
			got, err := op.Obey(ctx, q)
			if err != nil || got.Version < version {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			acks = append(acks, api.Acknowledged{Group: q.ID(), Node: op.o.Name, Index: got.Index})
		})
	}
	all.Wait()
	return acks
}
