package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/queue"
)

// ask is a question or an order about the queue.
type ask struct {
	verb   string
	filter api.Filter   // as it came: the peers get it so
	parsed queue.Filter // the same as the queue takes it
	reason string       // of fail
}

// moves reports whether it changes anything.
func (a *ask) moves() bool { return slices.Contains(moves, a.verb) }

// runner lets one queue answer an ask. Its total counts what was done even when there is an error.
type runner func(ctx context.Context, s *Server, q *LocalQueue, a *ask, out outlet) (queue.Total,
	error)

// runners are the verbs.
var runners = map[string]runner{
	"list": func(ctx context.Context, s *Server, q *LocalQueue, a *ask, out outlet) (queue.Total,
		error) {
		return q.Queue.List(ctx, a.parsed, func(m *queue.Stored, selected []uint32) bool {
			return out.found(m.Message.ID.String(), q.message(s.o.Node, m, selected))
		})
	},
	"count": func(ctx context.Context, _ *Server, q *LocalQueue, a *ask, _ outlet) (queue.Total,
		error) {
		return q.Queue.Count(ctx, a.parsed)
	},
	"show": func(_ context.Context, s *Server, q *LocalQueue, a *ask, out outlet) (t queue.Total,
		err error) {
		for _, id := range a.parsed.IDs {
			m, err := q.Queue.Load(id)
			if err != nil || m != nil && !out.found(id.String(), q.detail(s.o.Node, m)) {
				return t, err
			}
		}
		return t, nil
	},
	"hold": func(ctx context.Context, s *Server, q *LocalQueue, a *ask, out outlet) (queue.Total,
		error) {
		return q.Queue.Hold(ctx, a.parsed, s.moved(a, out))
	},
	"release": func(ctx context.Context, s *Server, q *LocalQueue, a *ask, out outlet) (queue.Total,
		error) {
		return q.Queue.ReleaseHeld(ctx, a.parsed, s.moved(a, out))
	},
	"flush": func(ctx context.Context, s *Server, q *LocalQueue, a *ask, out outlet) (queue.Total,
		error) {
		return q.Queue.Flush(ctx, a.parsed, s.moved(a, out))
	},
	"fail": func(ctx context.Context, s *Server, q *LocalQueue, a *ask, out outlet) (queue.Total,
		error) {
		why := mail.Attempt{At: s.o.Now(), Enhanced: "5.7.1", Text: a.reason}
		return q.Queue.Fail(ctx, a.parsed, why, s.moved(a, out))
	},
	"remove": func(ctx context.Context, s *Server, q *LocalQueue, a *ask, out outlet) (queue.Total,
		error) {
		return q.Queue.Remove(ctx, a.parsed, s.moved(a, out))
	},
}

// moves are the verbs that change something.
var moves = []string{"hold", "release", "flush", "fail", "remove"}

// moved tells the log of each recipient, and the client how many there are.
func (s *Server) moved(a *ask, out outlet) queue.Moved {
	return func(m *queue.Stored, recipient uint32, to queue.State) {
		out.moved(1)
		if s.o.Moved != nil {
			s.o.Moved(a.verb, m, recipient, to)
		}
	}
}

func (s *Server) queueRoutes(m *http.ServeMux) {
	m.Handle("POST /v1/queue/list", s.streamed("list", s.everywhere))
	m.Handle("POST /v1/queue/count", handler(s.count))
	m.Handle("GET /v1/queue/show", handler(s.show))
	for _, verb := range moves {
		m.Handle("POST /v1/queue/"+verb, s.streamed(verb, s.everywhere))
	}
}

// peerRoutes are what the other nodes ask of this one: all answers are streams, whose lines show
// that it is at work.
func (s *Server) peerRoutes(m *http.ServeMux) {
	for verb := range runners {
		m.Handle("POST /v1/queue/"+verb, s.streamed(verb, s.here))
	}
}

// newAsk reads the request's filter.
func (s *Server) newAsk(w http.ResponseWriter, r *http.Request, verb string) (a *ask, err error) {
	a = &ask{verb: verb}
	if err = read(w, r, &a.filter); err == nil {
		err = s.parse(a)
	}
	return a, err
}

func (s *Server) parse(a *ask) (err error) {
	if a.parsed, err = queueFilter(&a.filter, s.o.Now()); err != nil {
		return err
	}
	switch a.verb {
	case "hold", "release", "fail", "remove":
		if a.filter.Empty() && !a.filter.All {
			return api.Fail(api.ExitUsage, a.verb+" without a filter would take the whole queue",
				"add a filter, or --all if that is what you want")
		}
	}
	a.reason = replyText(a.filter.Reason)
	return nil
}

// streamed answers with a stream of what was found, how much was moved, and the total.
func (s *Server) streamed(verb string, ask asker) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		a, err := s.newAsk(w, r, verb)
		if err != nil {
			return err
		}
		return streaming(w, func(out *stream) (*api.Total, error) {
			return ask(r.Context(), a, out.raw, out.moved), nil
		})
	}
}

func (s *Server) count(w http.ResponseWriter, r *http.Request) error {
	a, err := s.newAsk(w, r, "count")
	if err != nil {
		return err
	}
	return answer(w, s.everywhere(r.Context(), a, nil, nil))
}

func (s *Server) show(w http.ResponseWriter, r *http.Request) error {
	a := &ask{verb: "show", filter: api.Filter{IDs: []string{r.FormValue("id")}}}
	if err := s.parse(a); err != nil {
		return err
	}
	var found json.RawMessage
	t := s.everywhere(r.Context(), a, func(raw json.RawMessage) bool { found = raw; return true },
		nil)
	switch {
	case found != nil:
		return answer(w, found)
	case len(t.Missing) > 0:
		return t.Incomplete()
	}
	return api.Fail(api.ExitData, "no message "+a.filter.IDs[0]+" is in the queue (any more)",
		"`postroad trace` tells what became of it")
}

// maxReason bounds what senders are told, so that it fits a reply line.
const maxReason = 400

// replyText makes an operator's words fit into a reply.
func replyText(reason string) string {
	reason = strings.Join(strings.Fields(strings.ToValidUTF8(reason, "?")), " ")
	if reason == "" {
		reason = "The administrator of this server has cancelled the delivery"
	}
	return reason[:min(len(reason), maxReason)]
}
