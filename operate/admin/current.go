package admin

import (
	"context"
	"net/http"

	"github.com/postroad/postroad/operate/admin/api"
)

// Every answer rests on a roll call: which nodes, queue groups, users and suspensions there are.
// This node's may be old, right after a start as good as empty. So it asks first whether it has the
// newest (Options.Current). If that cannot be known, nothing is refused for what this node does not
// know: changes are refused as temporary failures, and what is listed or moved names the roll call
// among what is missing, so that the exit status is 75 either way.

// current returns when this node knows the newest roll call. Its error says what is missing, and is
// a temporary failure.
func (s *Server) current(ctx context.Context) error {
	if s.o.Current == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.CurrentWait)
	defer cancel()
	if err := s.o.Current(ctx); err != nil {
		return api.Fail(
			api.ExitTemporary,
			err.Error(),
			"try again, or ask another node; `postroad cluster status` shows what is wrong",
		)
	}
	return nil
}

// known lets a request through once the roll call is current.
func (s *Server) known(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := s.current(r.Context()); err != nil {
			return err
		}
		return h(w, r)
	}
}

// uncalled is what is missing when the roll call is not known to be current: nil, or one entry.
func (s *Server) uncalled(ctx context.Context) []api.Missing {
	if err := s.current(ctx); err != nil {
		return []api.Missing{{Node: s.o.Node, Why: api.AsError(err).Message}}
	}
	return nil
}

// lists answers with a stream of what fn gives it. When the roll call is not current, the total
// says so.
func (s *Server) lists(
	w http.ResponseWriter,
	r *http.Request,
	fn func(out *stream, total *api.Total) error,
) error {
	return streaming(w, func(out *stream) (*api.Total, error) {
		total := &api.Total{Node: s.o.Node, Missing: s.uncalled(r.Context())}
		return total, fn(out, total)
	})
}
