//go:build pretend_newer

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/postroad/postroad/operate/admin/api"
)

// This build pretends to be the next version (cluster/DESIGN.md): its protocol is one higher, and
// `postroad cluster note TEXT` proposes a command to the control group and one to each queue group
// that the node owns, and asks all members on a path that the version before does not serve.

// noted is what a member has applied.
type noted struct {
	Control string            `json:"control"`
	Queues  map[uint64]string `json:"queues"`
	Error   string            `json:"error,omitempty"` // instead
}

func (n *node) newerRoutes(m *http.ServeMux) {
	m.HandleFunc("GET /node/noted", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(n.noted()) })
}

func (n *node) noted() noted {
	s := noted{Control: n.control.Noted(), Queues: map[uint64]string{}}
	for _, h := range n.queues.List() {
		s.Queues[h.group.ID()] = h.queue.Noted()
	}
	return s
}

// Note implements what package admin wants of a build like this. An empty text only asks.
func (c operatorsCluster) Note(ctx context.Context, text string) (any, error) {
	n := c.n
	if text != "-" {
		if err := n.changes.Note(ctx, protocol, text); err != nil {
			return nil, said(err)
		}
		for _, h := range n.queues.List() {
			if h.tenure.Load() == nil {
				continue
			}
			if err := h.queue.Note(ctx, text); err != nil {
				return nil, &api.Error{Exit: api.ExitTemporary, Message: fmt.Sprintf("group %d: %v", h.group.ID(), err)}
			}
		}
	}
	all := map[string]noted{n.cfg.Node.Name: n.noted()}
	for _, m := range n.control.Members() {
		if m.ID == n.self.Member {
			continue
		}
		var s noted
		if err := n.ask(ctx, m.ID, http.MethodGet, "/node/noted", nil, &s); err != nil {
			s.Error = err.Error()
		}
		all[m.Name] = s
	}
	return all, nil
}
