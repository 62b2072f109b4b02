package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/postroad/postroad/operate/admin/api"
)

// reloadRoutes serves a reload of the configuration: to operators of this node or all, to peers of
// this node alone.
func (s *Server) reloadRoutes(m *http.ServeMux, peers bool) {
	if s.o.Reload == nil {
		return
	}
	m.Handle("POST /v1/config/reload",
		handler(func(w http.ResponseWriter, r *http.Request) error {
			var request api.ReloadRequest
			if err := read(w, r, &request); err != nil {
				return err
			}
			all := []api.Reloaded{s.reload()}
			if request.All && !peers {
				all = append(all, s.reloadPeers(r.Context())...)
			}
			return answer(w, api.ReloadAnswer{Nodes: all})
		}))
}

// reload reads this node's file again.
func (s *Server) reload() api.Reloaded {
	changed, restart, err := s.o.Reload()
	if err != nil {
		return api.Reloaded{Node: s.o.Node, Error: err.Error()}
	}
	return api.Reloaded{Node: s.o.Node, Changed: changed, Restart: restart}
}

// reloadPeers has the other nodes do the same, all at once. One that stands still, with its
// connections open, is not waited for without an end.
func (s *Server) reloadPeers(ctx context.Context) []api.Reloaded {
	ctx, cancel := context.WithTimeout(ctx, s.o.PeerWait)
	defer cancel()
	peers := s.peers()
	all := make([]api.Reloaded, len(peers))
	var asked sync.WaitGroup
	for i, p := range peers {
		asked.Go(func() {
			var a api.ReloadAnswer
			err := p.client().Call(ctx, "POST", "/v1/config/reload", api.ReloadRequest{}, &a)
			switch {
			case errors.Is(ctx.Err(), context.DeadlineExceeded):
				all[i] = api.Reloaded{Error: fmt.Sprintf("it did not answer within %v; it may "+
					"reload yet, and its log says so", s.o.PeerWait), Silent: true}
			case err != nil:
				all[i] = api.Reloaded{Error: api.AsError(err).Message, Silent: true}
			case len(a.Nodes) == 1:
				all[i] = a.Nodes[0]
			default:
				all[i] = api.Reloaded{Error: "it gave an answer that makes no sense", Silent: true}
			}
			all[i].Node = p.p.Node
		})
	}
	asked.Wait()
	slices.SortFunc(all, func(a, b api.Reloaded) int { return cmp.Compare(a.Node, b.Node) })
	return all
}
