package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/cluster/member"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/internal/maillog"
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
	"domain": queue.SuspendDomain, "site": queue.SuspendSite, "tenant": queue.SuspendTenant, "campaign": queue.SuspendCampaign,
}

// suspendVersion is what members tell each other: which version is in force, or is to be
// acknowledged.
type suspendVersion struct {
	Version uint64 `json:"version"`
}

func (n *node) suspendRoutes(m *http.ServeMux) {
	m.HandleFunc("GET /node/suspensions", func(w http.ResponseWriter, r *http.Request) {
		version, err := n.suspensionsInForce()
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		json.NewEncoder(w).Encode(suspendVersion{version})
	})
	m.HandleFunc("POST /node/suspensions", func(w http.ResponseWriter, r *http.Request) {
		var q suspendVersion
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(n.acknowledge(r.Context(), q.Version))
	})
}

var errNoControlLeader = errors.New("the control group has no leader")

// suspensionsInForce is the newest version there is. Only the control group's leader can tell.
func (n *node) suspensionsInForce() (version uint64, err error) {
	group := n.store.Group(cluster.ControlGroup)
	term := group.Leading()
	version, _ = n.control.Suspensions()
	if !group.Holds(term) {
		return 0, errNoControlLeader
	}
	return version, nil
}

// askInForce asks the control group's leader.
func (n *node) askInForce(ctx context.Context) (version uint64, err error) {
	leader, ok := n.store.Group(cluster.ControlGroup).Leader()
	switch {
	case !ok:
		return 0, errNoControlLeader
	case leader == n.self.Member:
		return n.suspensionsInForce()
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	go func() { // whoever died with the group's leader would be asked for all that time; ends with this question
		for clock.Pause(ctx, 20*time.Millisecond) {
			if now, ok := n.store.Group(cluster.ControlGroup).Leader(); !ok || now != leader {
				cancel()
			}
		}
	}()
	var v suspendVersion
	err = n.ask(ctx, leader, http.MethodGet, "/node/suspensions", nil, &v)
	if answer := (*cluster.Answer)(nil); errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		return 0, nil // an older version leads: there are no suspensions yet
	}
	return v.Version, err
}

// knowSuspensions returns when this node knows all that is in force now.
func (n *node) knowSuspensions(ctx context.Context) error {
	for {
		version, err := n.askInForce(ctx)
		if err == nil {
			err = n.awaitSuspensions(ctx, version)
		}
		if err == nil || !clock.Pause(ctx, 100*time.Millisecond) {
			return err
		}
	}
}

// awaitSuspensions waits until this node has heard of a version.
func (n *node) awaitSuspensions(ctx context.Context, version uint64) error {
	for {
		known, _ := n.control.Suspensions()
		if known >= version {
			return nil
		}
		if !clock.Pause(ctx, 5*time.Millisecond) {
			return fmt.Errorf("this node knows version %d of the suspensions, not yet %d: %w", known, version, ctx.Err())
		}
	}
}

// learn makes a new owner take over what is suspended, before it begins an attempt. An error means
// that ctx has ended.
func (h *holding) learn(ctx context.Context) error {
	patient, cancel := context.WithTimeout(ctx, suspensionPatience)
	defer cancel()
	if err := h.n.knowSuspensions(patient); err != nil && ctx.Err() == nil {
		h.n.log.Errorf("group %d: which suspensions are in force cannot be learned: %v; it goes on with those that it has acknowledged", h.group.ID(), err)
	}
	for ctx.Err() == nil {
		if _, err := h.obey(ctx); err == nil {
			return nil
		}
		clock.Pause(ctx, 100*time.Millisecond)
	}
	return ctx.Err()
}

// obey has a queue that this node owns take over the list that this node knows, if that is newer.
func (h *holding) obey(ctx context.Context) (queue.Suspensions, error) {
	h.obeying.Lock()
	defer h.obeying.Unlock()
	version, all := h.n.control.Suspensions()
	have, err := h.queue.Suspensions()
	if err != nil || have.Version >= version {
		return have, err
	}
	now := h.n.suspender.Now()
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
	return h.queue.Suspend(ctx, version, list)
}

// acknowledge has the queues that this node owns take over a version, and says which did.
func (n *node) acknowledge(ctx context.Context, version uint64) []api.Acknowledged {
	ctx, cancel := context.WithTimeout(ctx, acknowledgePatience/2)
	defer cancel()
	acks := []api.Acknowledged{}
	if n.awaitSuspensions(ctx, version) != nil {
		return acks
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, h := range n.queues.List() {
		if h.tenure.Load() == nil {
			continue
		}
		all.Go(func() {
			got, err := h.obey(ctx)
			if err != nil || got.Version < version {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			acks = append(acks, api.Acknowledged{Group: h.group.ID(), Node: n.cfg.Node.Name, Index: got.Index})
		})
	}
	all.Wait()
	return acks
}

// suspensionWatch follows the suspensions: it notes what has changed, has this node's groups take
// over what they have not, and ends what is over.
type suspensionWatch struct {
	n       *node
	version uint64                        // that was logged
	inForce map[uint64]control.Suspension // which were in it, by serial
}

// look does what is due.
func (w *suspensionWatch) look(ctx context.Context, do member.Do) {
	n := w.n
	version, all := n.control.Suspensions()
	if version == 0 {
		return
	}
	if w.version != version {
		w.note(all)
		w.version = version
	}
	for _, h := range n.queues.List() {
		if h.tenure.Load() == nil {
			continue
		}
		if have, err := h.queue.Suspensions(); err == nil && have.Version < version {
			do(h.group.ID(), "taking over suspensions", func() error {
				_, err := h.obey(ctx)
				return err
			})
		}
	}
	if n.store.Group(cluster.ControlGroup).Leading() == 0 {
		return
	}
	for _, s := range all {
		if !s.Until.IsZero() && !s.Until.After(n.suspender.Now()) {
			do(cluster.ControlGroup, "ending a suspension", func() error { return n.suspender.Expire(ctx, s) })
			return // the next one in the next round
		}
	}
}

// note logs what has begun and what has ended.
func (w *suspensionWatch) note(all []control.Suspension) {
	n, now := w.n, map[uint64]control.Suspension{}
	for _, s := range all {
		now[s.Serial] = s
		if _, known := w.inForce[s.Serial]; !known {
			ends := (&api.Suspension{Until: s.Until}).Ends()
			n.announce("suspended", true, suspensionFields(s), fmt.Sprintf("%s %s is suspended %s: %s", s.Kind, s.Name, ends, s.Reason))
		}
	}
	for serial, s := range w.inForce {
		if _, still := now[serial]; still {
			continue
		}
		event, words := "resumed", "is resumed"
		if !s.Until.IsZero() && s.Until.Sub(n.suspender.Now()) < clocksDiffer {
			event, words = "suspension_over", "is not suspended any more: the time is over"
		}
		n.announce(event, true, suspensionFields(s), fmt.Sprintf("%s %s %s", s.Kind, s.Name, words))
	}
	w.inForce = now
}

// clocksDiffer is how far the clock of whoever ended a suspension whose time was over may be ahead
// of ours.
const clocksDiffer = 5 * time.Second

func suspensionFields(s control.Suspension) []maillog.Field {
	fields := []maillog.Field{{Name: "kind", Value: s.Kind}, {Name: "name", Value: s.Name}, {Name: "since", Value: s.Since.Format(time.RFC3339)}}
	if !s.Until.IsZero() {
		fields = append(fields, maillog.Field{Name: "until", Value: s.Until.Format(time.RFC3339)})
	}
	return fields
}
