package admin

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/operate/admin/api"
)

// asker lets queues answer an ask. moved hears how many recipients were moved so far.
type asker func(ctx context.Context, a *ask, emit func(json.RawMessage) bool,
	moved func(total int64)) *api.Total

// here asks the queues that this node owns now.
func (s *Server) here(
	ctx context.Context, a *ask, emit func(json.RawMessage) bool, moved func(int64),
) *api.Total {
	return s.combine(a.verb, round(ctx, a, s.local(a), emit, summing(moved)))
}

func (s *Server) local(a *ask) (all []source) {
	for _, q := range s.o.Queues() {
		if a.filter.Wants(q.Group) {
			all = append(all, &localSource{s, &q})
		}
	}
	return all
}

// summing makes a sum of what several sources moved.
func summing(moved func(total int64)) func(more int64) {
	if moved == nil {
		return func(int64) {}
	}
	var sum atomic.Int64
	return func(more int64) { moved(sum.Add(more)) }
}

// askEvery is how often it is looked whether a group has got an owner.
const askEvery = 250 * time.Millisecond

// everywhere asks all queues of the cluster. When it is not known which there are, those are asked
// that this node knows of, and the total says so. Meanwhile no message goes from one group to
// another, so that each is met once; what may be on its way is missing.
func (s *Server) everywhere(
	ctx context.Context, a *ask, emit func(json.RawMessage) bool, moved func(int64),
) *api.Total {
	missing := s.uncalled(ctx)
	if s.o.Still == nil {
		t := s.all(ctx, a, emit, moved)
		t.Miss(missing...)
		return t
	}
	end := s.o.Still(ctx)
	t := s.all(ctx, a, emit, moved)
	t.Miss(append(missing, end()...)...)
	return t
}

// all asks all queues that this node knows of. A group that has just lost its owner gets another
// one in seconds: it is waited for, except by lists, part of which is printed by then. Nodes that
// were silent once are not waited for again.
func (s *Server) all(
	ctx context.Context, a *ask, emit func(json.RawMessage) bool, moved func(int64),
) *api.Total {
	end, more, silent := time.Now().Add(s.o.OwnerWait), summing(moved), map[string]bool{}
	var parts []*api.Total
	var doubts []api.Missing
	for {
		sources := s.local(a)
		for _, p := range s.peers() {
			if !silent[p.p.Node] {
				sources = append(sources, p)
			}
		}
		again := len(parts) > 0
		these := round(ctx, a, append(sources, s.roll(a)), emit, more)
		parts = append(parts, these...)
		t := s.combine(a.verb, parts)
		missing := t.MissingGroups()
		doubts = append(doubts, doubtful(these, len(missing) > 0)...)
		if a.verb == "list" || len(missing) == 0 || again && time.Now().After(end) ||
			!clock.Pause(ctx, askEvery) {
			t.Miss(doubts...)
			return t
		}
		for _, src := range sources {
			if p, ok := src.(*peerSource); ok && p.silent {
				silent[p.p.Node] = true
			}
		}
		only := *a
		only.filter.Groups, a = missing, &only
	}
}

// doubtful are those who may have moved recipients without having counted them: a group's next
// owner finds nothing left to move, and its total is no answer. A node that has not answered
// matters only if a group is left that it may have owned.
func doubtful(parts []*api.Total, left bool) (all []api.Missing) {
	for _, p := range parts {
		for _, m := range p.Missing {
			if m.Doubt && (m.Group != 0 || left) {
				m.Why += "; what it has done there is not all counted"
				all = append(all, m)
			}
		}
	}
	return all
}

// roll calls the roll: each group that there is must have answered through some other source.
type roll struct{ groups []QueueGroup }

func (s *Server) roll(a *ask) *roll {
	r := &roll{}
	if s.o.Groups != nil {
		r.groups = slices.DeleteFunc(s.o.Groups(), func(g QueueGroup) bool {
			return !a.filter.Wants(g.ID)
		})
	}
	return r
}

func (r *roll) answer(context.Context, *ask, outlet) *api.Total {
	t := &api.Total{}
	for _, g := range r.groups {
		t.Missing = append(t.Missing, api.Missing{Group: g.ID, Home: g.Home, Why: api.NoOwner})
	}
	return t
}
