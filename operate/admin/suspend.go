package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/postroad/postroad/operate/admin/api"
)

// Suspensions is what the server needs of the list of what is suspended in the whole cluster. An
// *Error keeps its exit status; any other error is a temporary failure. Safe for use by several
// goroutines.
type Suspensions interface {
	// Suspend records a suspension, which ends by itself after lasts (0: it does not), and has all
	// queue groups acknowledge it.
	Suspend(ctx context.Context, s api.Suspension, lasts time.Duration) (api.Acknowledgement, error)
	// Resume ends it, and has all queue groups acknowledge that.
	Resume(ctx context.Context, s api.Suspension) (api.Acknowledgement, error)
	// Suspensions returns all that this node knows to be in force, in any order.
	Suspensions() []api.Suspension
}

func (s *Server) suspendRoutes(m *http.ServeMux) {
	if s.o.Suspensions == nil {
		return
	}
	m.Handle("GET /v1/suspensions", handler(s.suspensions))
	m.Handle("POST /v1/suspend",
		s.known(s.suspension("suspend",
			func(ctx context.Context, r *api.SuspendRequest,
				one api.Suspension) (api.Acknowledgement, error) {
				return s.o.Suspensions.Suspend(ctx, one, time.Duration(r.For))
			})))
	m.Handle("POST /v1/resume",
		s.known(s.suspension("resume",
			func(ctx context.Context, _ *api.SuspendRequest,
				one api.Suspension) (api.Acknowledgement, error) {
				return s.o.Suspensions.Resume(ctx, one)
			})))
}

// suspension makes one change and logs that an operator asked for it.
func (s *Server) suspension(
	verb string,
	do func(context.Context, *api.SuspendRequest, api.Suspension) (api.Acknowledgement, error),
) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var q api.SuspendRequest
		if err := read(w, r, &q); err != nil {
			return err
		}
		if err := q.Check(verb); err != nil {
			return err
		}
		s.o.Logf("admin: %s %s %s %q for %v", verb, q.Kind, q.Name, q.Reason, time.Duration(q.For))
		a, err := do(r.Context(), &q, api.Suspension{Kind: q.Kind, Name: q.Name, Reason: q.Reason})
		if err != nil {
			return err
		}
		a.Node = s.o.Node
		return answer(w, a)
	}
}

// suspensions lists what is in force, the oldest first.
func (s *Server) suspensions(w http.ResponseWriter, r *http.Request) error {
	return s.lists(w, r, func(out *stream, _ *api.Total) error {
		all := s.o.Suspensions.Suspensions()
		slices.SortFunc(all, func(a, b api.Suspension) int {
			return cmp.Or(a.Since.Compare(b.Since.Time), cmp.Compare(a.Kind, b.Kind),
				cmp.Compare(a.Name, b.Name))
		})
		for i := range all {
			if !out.item(&all[i]) {
				break
			}
		}
		return nil
	})
}
