//go:build pretend_newer

package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/postroad/postroad/cluster/control"
	"github.com/postroad/postroad/operate/admin/api"
)

// This build pretends to be the next version (cluster/DESIGN.md): its protocol is one higher, and
// `postroad cluster note TEXT` proposes a command to the control group and one to each queue group
// that the node owns, and asks all members on a path that the version before does not serve.

// noter is what a Queue is in a build like this.
type noter interface {
	Noted() string
	Note(ctx context.Context, text string) error
}

// noted is what a member has applied.
type noted struct {
	Control string            `json:"control"`
	Queues  map[uint64]string `json:"queues"`
	Error   string            `json:"error,omitempty"` // instead
}

func (op *Operator) newerRoutes(m *http.ServeMux) {
	m.HandleFunc("GET /node/noted", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(op.noted())
	})
}

func (op *Operator) noted() noted {
	s := noted{Control: op.o.State.Noted(), Queues: map[uint64]string{}}
	for _, q := range op.o.Queues() {
		s.Queues[q.ID()] = q.(noter).Noted()
	}
	return s
}

// Note implements what package admin wants of a build like this. An empty text only asks.
func (op *Operator) Note(ctx context.Context, text string) (any, error) {
	if text != "-" {
		if err := op.o.Changes.Note(ctx, control.Protocol, text); err != nil {
			return nil, said(err)
		}
		for _, q := range op.o.Queues() {
			if q.Term() == nil {
				continue
			}
			if err := q.(noter).Note(ctx, text); err != nil {
				return nil, &api.Error{
					Exit: api.ExitTemporary, Message: fmt.Sprintf("group %d: %v", q.ID(), err),
				}
			}
		}
	}
	all := map[string]noted{op.o.Name: op.noted()}
	for _, m := range op.o.State.Members() {
		if m.ID == op.o.Member {
			continue
		}
		var s noted
		if err := op.o.Ask(ctx, m.ID, http.MethodGet, "/node/noted", nil, &s); err != nil {
			s.Error = err.Error()
		}
		all[m.Name] = s
	}
	return all, nil
}
