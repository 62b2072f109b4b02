package admin

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/trace"
	"github.com/postroad/postroad/operate/admin/api"
)

// Bounds of a trace.
const (
	maxEvents = 5000
	traceBack = 48 * time.Hour // how far a trace by addresses goes back unless told
	flushWait = 2 * time.Second
)

// traceQuery is a request as the event log takes it. It has passed Check.
func traceQuery(t *api.TraceRequest, now time.Time) *trace.Query {
	q := &trace.Query{Sender: api.Address(t.Sender), Recipient: api.Address(t.Recipient),
		Since: now.Add(-time.Duration(cmp.Or(t.Since, config.Duration(traceBack))))}
	for _, name := range t.Names() {
		if q.Names == nil {
			q.Names = map[string]bool{}
		}
		q.Names[name] = true
	}
	if len(t.IDs) == 0 {
		return q
	}
	q.IDs = map[string]bool{}
	for i, s := range t.IDs {
		id, _ := mail.ParseID(s)
		q.IDs[id.String()] = true
		if t.Since == 0 && (i == 0 || id.Time().Before(q.Since)) {
			q.Since = id.Time().Add(-time.Hour) // an ID has command time, an event the node's clock
		}
	}
	return q
}

func (s *Server) traceRoutes(m *http.ServeMux, peers bool) {
	if peers {
		m.Handle("POST /v1/trace/find", s.traced(s.find))
		m.Handle("POST /v1/trace/events", s.traced(s.events))
		return
	}
	m.Handle("POST /v1/trace", s.traced(s.journey))
}

// traced answers with a stream of what do finds.
func (s *Server) traced(
	do func(ctx context.Context, t *api.TraceRequest, found func(any) bool) (*api.Total, error),
) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var t api.TraceRequest
		if err := read(w, r, &t); err != nil {
			return err
		}
		t.Refusals = r.URL.Query().Has("refusals")
		if err := t.Check(); err != nil {
			return err
		}
		return streaming(w, func(out *stream) (*api.Total, error) {
			return do(r.Context(), &t, out.item)
		})
	}
}

// search looks through this node's event log.
func (s *Server) search(
	ctx context.Context, t *api.TraceRequest, fn func(trace.Event) bool,
) (*api.Total, error) {
	total := &api.Total{Node: s.o.Node}
	events := s.set.Load().Events
	if events == "" {
		total.Missing = []api.Missing{{Node: s.o.Node, Why: "it keeps no event log (events.file)"}}
		return total, nil
	}
	if s.o.Flush != nil {
		flushing, cancel := context.WithTimeout(ctx, flushWait)
		defer cancel()
		if err := s.o.Flush(flushing); err != nil {
			total.Missing = []api.Missing{{Node: s.o.Node,
				Why: "its newest events are not written yet: " + err.Error()}}
		}
	}
	q := traceQuery(t, s.o.Now())
	q.Refusals = t.Refusals
	return total, trace.Search(ctx, events, q, fn)
}

// find finds the IDs of the newest messages that have events which match, and if asked the newest
// refusals.
func (s *Server) find(
	ctx context.Context, t *api.TraceRequest, found func(any) bool,
) (*api.Total, error) {
	seen, refused := map[string]bool{}, 0
	total, err := s.search(ctx, t, func(e trace.Event) bool {
		switch {
		case e.ID == "":
			if refused++; refused > api.MaxTraced {
				return true
			}
			return found(&api.TraceItem{At: api.At(e.At), Node: s.o.Node, Event: e.Line})
		case seen[e.ID]:
			return true
		case len(seen) == api.MaxTraced:
			return false
		}
		seen[e.ID] = true
		return found(e.ID)
	})
	total.Truncated = len(seen) == api.MaxTraced || refused > api.MaxTraced
	return total, err
}

// events finds the newest events.
func (s *Server) events(
	ctx context.Context, t *api.TraceRequest, found func(any) bool,
) (*api.Total, error) {
	n := 0
	total, err := s.search(ctx, t, func(e trace.Event) bool {
		if n++; n > maxEvents {
			return false
		}
		return found(&api.TraceItem{At: api.At(e.At), Node: s.o.Node, ID: e.ID, Event: e.Line})
	})
	total.Truncated = n > maxEvents
	return total, err
}
