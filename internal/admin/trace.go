package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/trace"
	"github.com/postroad/postroad/operate/admin/api"
)

// TraceRequest says whose journey is wanted; all that is set must hold.
type TraceRequest struct {
	IDs       []string        `json:"ids,omitempty"`
	Recipient string          `json:"recipient,omitempty"`
	Sender    string          `json:"sender,omitempty"`
	Since     config.Duration `json:"since,omitempty"` // how long ago at most; 0: with IDs the time of the message, else two days
}

// TraceItem is one step of a message's journey: what was logged, or what waits in the queue now.
type TraceItem struct {
	At    time.Time       `json:"at"`
	Node  string          `json:"node"`
	ID    string          `json:"id"`
	Event json.RawMessage `json:"event,omitempty"`  // the line of the event log
	Queue *Message        `json:"queued,omitempty"` // the recipients that still wait
}

// Bounds of a trace.
const (
	maxTraced = 1000 // messages
	maxEvents = 5000
	traceBack = 48 * time.Hour // how far a trace by addresses goes back unless told
	flushWait = 2 * time.Second
)

// Check finds what cannot be meant.
func (t *TraceRequest) Check() error {
	if len(t.IDs) == 0 && t.Recipient == "" && t.Sender == "" {
		return api.Fail(api.ExitUsage, "neither an ID nor an address is given", "`postroad trace ID`, or --recipient ADDRESS")
	}
	if len(t.IDs) > maxTraced {
		return api.Fail(api.ExitUsage, fmt.Sprintf("%d messages are too many for one trace", len(t.IDs)), fmt.Sprintf("take %d at a time", maxTraced))
	}
	f := t.filter()
	return f.Check()
}

func (t *TraceRequest) filter() Filter {
	return Filter{IDs: t.IDs, Recipient: t.Recipient, Sender: t.Sender}
}

// query is the request as the event log takes it. It has passed Check.
func (t *TraceRequest) query(now time.Time) *trace.Query {
	q := &trace.Query{Sender: address(t.Sender), Recipient: address(t.Recipient), Since: now.Add(-time.Duration(cmp.Or(t.Since, config.Duration(traceBack))))}
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
func (s *Server) traced(do func(ctx context.Context, t *TraceRequest, found func(any) bool) (*Total, error)) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var t TraceRequest
		if err := read(w, r, &t); err != nil {
			return err
		}
		if err := t.Check(); err != nil {
			return err
		}
		return streaming(w, func(out *stream) (*Total, error) { return do(r.Context(), &t, out.item) })
	}
}

// search looks through this node's event log.
func (s *Server) search(ctx context.Context, t *TraceRequest, fn func(trace.Event) bool) (*Total, error) {
	total := &Total{Node: s.o.Node}
	if s.o.Events == "" {
		total.Missing = []Missing{{Node: s.o.Node, Why: "it keeps no event log (events.file)"}}
		return total, nil
	}
	if s.o.Flush != nil {
		flushing, cancel := context.WithTimeout(ctx, flushWait)
		defer cancel()
		if err := s.o.Flush(flushing); err != nil {
			total.Missing = []Missing{{Node: s.o.Node, Why: "its newest events are not written yet: " + err.Error()}}
		}
	}
	return total, trace.Search(ctx, s.o.Events, t.query(s.o.Now()), fn)
}

// find finds the IDs of the newest messages that have events which match.
func (s *Server) find(ctx context.Context, t *TraceRequest, found func(any) bool) (*Total, error) {
	seen := map[string]bool{}
	total, err := s.search(ctx, t, func(e trace.Event) bool {
		if seen[e.ID] {
			return true
		}
		if len(seen) == maxTraced {
			return false
		}
		seen[e.ID] = true
		return found(e.ID)
	})
	total.Truncated = len(seen) == maxTraced
	return total, err
}

// events finds the newest events.
func (s *Server) events(ctx context.Context, t *TraceRequest, found func(any) bool) (*Total, error) {
	n := 0
	total, err := s.search(ctx, t, func(e trace.Event) bool {
		if n++; n > maxEvents {
			return false
		}
		return found(&TraceItem{At: e.At, Node: s.o.Node, ID: e.ID, Event: e.Line})
	})
	total.Truncated = n > maxEvents
	return total, err
}
