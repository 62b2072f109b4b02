package admin

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/queue"
)

// localSource is a queue that this node owned when it was asked.
type localSource struct {
	s *Server
	q *LocalQueue
}

func (l *localSource) answer(ctx context.Context, a *ask, out outlet) *api.Total {
	t, err := runners[a.verb](ctx, l.s, l.q, a, out)
	if err == nil && !l.holds() {
		err = errOwnerChanged
	}
	total := &api.Total{}
	if err == nil || t.Messages > 0 {
		g := groupTotal(t)
		g.Group, g.Node, g.Partial = l.q.Group, l.s.o.Node, err != nil
		total.Groups = []api.GroupTotal{g}
	}
	if err != nil {
		doubt := a.moves() && !errors.Is(err, queue.ErrRefused) && err != errOwnerChanged
		total.Missing = []api.Missing{{Group: l.q.Group, Node: l.s.o.Node, Why: err.Error(),
			Doubt: doubt}}
	}
	return total
}

// holds reports whether this node still owns the group. It is asked last: another owner may have
// taken mail before this one knew of it, and what this one found then is of the past.
func (l *localSource) holds() bool {
	if l.q.Holds != nil {
		return l.q.Holds()
	}
	return slices.ContainsFunc(l.s.o.Queues(), func(q LocalQueue) bool {
		return q.Group == l.q.Group
	})
}

func groupTotal(t queue.Total) api.GroupTotal {
	out := api.GroupTotal{Index: t.Index, Messages: t.Messages, Recipients: t.Recipients,
		States: map[string]int64{}}
	for st, n := range t.ByState {
		if n > 0 || queue.State(st) <= queue.Held {
			out.States[queue.State(st).String()] = n
		}
	}
	return out
}

// peerSource is another node, which answers for what it owns.
type peerSource struct {
	p      Peer
	wait   time.Duration
	silent bool // it did not answer in time
}

// peers are the other nodes.
func (s *Server) peers() (all []*peerSource) {
	for _, p := range s.o.Peers() {
		all = append(all, &peerSource{p: p, wait: s.o.PeerWait})
	}
	return all
}

func (p *peerSource) client() *client.Client {
	return client.ForPeer(p.p.Base, p.p.HTTP, p.wait)
}

func (p *peerSource) answer(ctx context.Context, a *ask, out outlet) *api.Total {
	var before int64
	t, err := p.client().Stream(ctx, "POST", "/v1/queue/"+a.verb, a.filter,
		func(raw json.RawMessage) error {
			var is struct {
				ID string `json:"queue_id"`
			}
			if err := json.Unmarshal(raw, &is); err != nil {
				return err
			}
			if !out.found(is.ID, raw) {
				return context.Canceled
			}
			return nil
		}, func(moved int64) {
			out.moved(moved - before)
			before = moved
		})
	if err != nil {
		p.silent = client.Silent(err)
		e := api.AsError(err)
		return &api.Total{Missing: []api.Missing{{Node: p.p.Node, Why: e.Message,
			Doubt: a.moves() && e.Exit != api.ExitUnavailable}}}
	}
	return t
}

var errOwnerChanged = errors.New(api.OwnerChanged)
