package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/node/internal/stillness"
	"github.com/postroad/postroad/operate/admin/api"
)

// Messages that go from group to group would be met twice, or not at all, by whoever asks all
// groups. So nothing is let go while somebody asks: all nodes are told to let hand-overs stand
// still, for a time that is renewed until the end, and each answers when what it had let go has
// come. A node that has just become the owner of a group that is to go, or has just seen that it
// is, waits for as long before it lets anything go. What the owner before it had let go it may find
// on the way; that stays there until the end, too, and is told of at the end. Whoever asks may be
// stopped meanwhile, or cut off from a node that goes on: what was told to it has lapsed then, and
// what was asked is not known (stillness).

const (
	stillLasts = 10 * time.Second
	stillRenew = 3 * time.Second
	stillWait  = 2 * time.Second // for a node to answer
	stillMost  = 64              // that are remembered; more share their time
)

var stillNumber atomic.Uint64

// standStill lets hand-overs stand still until end is called, which says what was on its way
// nevertheless, because its end is not known.
func (n *node) standStill(ctx context.Context) (end func() (moving []api.Missing)) {
	key := fmt.Sprintf("%d.%d.%d", n.self.Member, n.self.Incarnation, stillNumber.Add(1))
	s := stillness.New(time.Now(), n.anyGoing(), stillLasts)
	ask := func(ctx context.Context) (moving []api.Missing) {
		if n.anyGoing() {
			moving = n.askStill(ctx, key, stillLasts, s.Heard)
		}
		return moving
	}
	moving, outer := ask(ctx), ctx
	s.Begun()
	ctx, cancel := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		for clock.Pause(ctx, stillRenew) {
			ask(ctx)
		}
	})
	return func() []api.Missing {
		cancel()
		renewing.Wait()
		moving = append(moving, ask(outer)...) // an owner may be new
		if s.Told() {
			go n.askStill(n.background, key, 0, func(uint16, time.Time, time.Time) {})
		}
		for _, id := range s.Lapsed() {
			m, _ := n.control.Member(id)
			moving = append(
				moving,
				api.Missing{
					Node: m.Name,
					Why:  "messages may have gone from group to group meanwhile",
				},
			)
		}
		return moving
	}
}

// anyGoing reports whether a queue group is to go, as far as this node knows.
func (n *node) anyGoing() bool {
	for _, g := range n.control.Groups() {
		if g.Kind == control.KindQueue && g.State == control.GroupDraining {
			return true
		}
	}
	return false
}

// askStill tells all nodes, and heard who has answered, when that was asked and when answered. One
// that does not answer lets nothing go that counts: its groups do not answer either, or have
// another owner.
func (n *node) askStill(
	ctx context.Context,
	key string,
	lasts time.Duration,
	heard func(member uint16, asked, answered time.Time),
) (moving []api.Missing) {
	ctx, cancel := context.WithTimeout(ctx, stillWait)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, m := range n.control.Members() {
		if m.State == control.Joining || m.ID != n.self.Member && !n.detector.Reachable(m.ID) {
			continue
		}
		all.Go(func() {
			var err error
			asked := time.Now()
			if m.ID == n.self.Member {
				err = n.still(ctx, key, lasts)
			} else {
				path := fmt.Sprintf("/node/still?key=%s&for=%s", key, lasts)
				err = n.store.Ask(ctx, m.ID, http.MethodPost, path, nil, nil)
			}
			var answer *cluster.Answer
			silent := err != nil && m.ID != n.self.Member &&
				(!errors.As(err, &answer) || answer.Status != http.StatusConflict)
			if !silent {
				heard(m.ID, asked, time.Now())
			}
			if silent || err == nil {
				return
			}
			words := err.Error()
			if answer != nil {
				words = answer.Text
			}
			mu.Lock()
			defer mu.Unlock()
			moving = append(moving, api.Missing{Node: m.Name, Why: words})
		})
	}
	all.Wait()
	return moving
}

func (n *node) serveStill(w http.ResponseWriter, r *http.Request) {
	lasts, err := time.ParseDuration(r.FormValue("for"))
	if err != nil || lasts > stillLasts {
		http.Error(w, "for how long?", http.StatusBadRequest)
		return
	}
	if err := n.still(r.Context(), r.FormValue("key"), lasts); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

// still keeps the groups that this node owns from letting messages go, and waits until what they
// have let go has come.
func (n *node) still(ctx context.Context, key string, lasts time.Duration) error {
	var all error
	for _, h := range n.queues.List() {
		h.keepStill(key, lasts) // who does not own it may do so any moment
		if lasts > 0 && h.tenure.Load() != nil {
			all = errors.Join(all, h.arrived(ctx))
		}
	}
	return all
}

// keepStill keeps messages from being let go, for so long.
func (h *holding) keepStill(key string, lasts time.Duration) {
	s := &h.handing
	s.mu.Lock()
	defer s.mu.Unlock()
	if lasts <= 0 {
		delete(s.still, key)
		return
	}
	if len(s.still) >= stillMost {
		key = ""
	}
	s.still[key] = time.Now().Add(lasts)
}

// arrived waits until nothing is between two groups.
func (h *holding) arrived(ctx context.Context) error {
	select {
	case h.handing.gate <- struct{}{}:
		<-h.handing.gate
	case <-ctx.Done():
		return fmt.Errorf("messages go from %s to another group just now", h.n.groupName(h.ID()))
	}
	is, err := h.queue.Handing()
	if err == nil && is.OnTheWay > 0 {
		err = fmt.Errorf(
			"%d messages are on their way from %s to %s, which does not answer",
			is.OnTheWay,
			h.n.groupName(h.ID()),
			h.n.groupName(is.Group),
		)
	}
	return err
}

// enterGate waits until messages may be let go.
func (h *holding) enterGate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stillLasts)
	defer cancel()
	for {
		select {
		case h.handing.gate <- struct{}{}:
		case <-ctx.Done():
			return errStill
		}
		if !h.kept(time.Now()) {
			return nil
		}
		h.leaveGate()
		if !clock.Pause(ctx, 20*time.Millisecond) {
			return errStill
		}
	}
}

func (h *holding) leaveGate() { <-h.handing.gate }

// kept reports whether somebody wants hand-overs to stand still.
func (h *holding) kept(now time.Time) bool {
	s := &h.handing
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, until := range s.still {
		if now.After(until) {
			delete(s.still, key)
		}
	}
	return len(s.still) > 0
}
