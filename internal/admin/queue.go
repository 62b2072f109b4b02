package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

func (s *Server) queueRoutes(m *http.ServeMux) {
	m.Handle("POST /v1/queue/list", handler(s.list))
	m.Handle("POST /v1/queue/count", handler(s.count))
	m.Handle("GET /v1/queue/show", handler(s.show))
	q := s.o.Queue
	for verb, do := range map[string]verbFunc{
		"hold": q.Hold, "release": q.ReleaseHeld, "flush": q.Flush, "remove": q.Remove, "fail": nil, // fail has a reason
	} {
		m.Handle("POST /v1/queue/"+verb, s.verb(verb, do))
	}
}

type verbFunc func(context.Context, queue.Filter, queue.Moved) (queue.Total, error)

// filter reads the request's filter.
func (s *Server) filter(w http.ResponseWriter, r *http.Request) (f Filter, q queue.Filter, err error) {
	if err = read(w, r, &f); err == nil {
		q, err = f.parse(s.o.Now())
	}
	return f, q, err
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) error {
	_, f, err := s.filter(w, r)
	if err != nil {
		return err
	}
	out := newStream(w)
	t, err := s.o.Queue.List(r.Context(), f, func(m *queue.Stored, selected []uint32) bool {
		return out.item(s.message(m, selected))
	})
	return out.end(s.total(t), err)
}

func (s *Server) count(w http.ResponseWriter, r *http.Request) error {
	_, f, err := s.filter(w, r)
	if err != nil {
		return err
	}
	t, err := s.o.Queue.Count(r.Context(), f)
	if err != nil {
		return err
	}
	return answer(w, s.total(t))
}

func (s *Server) show(w http.ResponseWriter, r *http.Request) error {
	f := Filter{IDs: []string{r.FormValue("id")}}
	q, err := f.parse(s.o.Now())
	if err != nil {
		return err
	}
	m, err := s.o.Queue.Load(q.IDs[0])
	if err != nil {
		return err
	}
	if m == nil {
		return fail(ExitData, "no message "+f.IDs[0]+" is in the queue (any more)", "the log and the event log tell what became of it")
	}
	return answer(w, s.detail(m))
}

// verb answers one of the commands that move recipients.
func (s *Server) verb(name string, do verbFunc) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		f, q, err := s.filter(w, r)
		if err != nil {
			return err
		}
		if name != "flush" && f.Empty() && !f.All {
			return fail(ExitUsage, name+" without a filter would take the whole queue", "add a filter, or --all if that is what you want")
		}
		move := do
		if name == "fail" {
			move = s.failing(f.Reason)
		}
		out := newStream(w)
		t, err := move(r.Context(), q, s.moved(name, out))
		return out.end(s.total(t), err)
	}
}

// maxReason bounds what senders are told, so that it fits a reply line.
const maxReason = 400

// failing is the verb that fails recipients for a reason of the operator's.
func (s *Server) failing(reason string) verbFunc {
	reason = strings.Join(strings.Fields(strings.ToValidUTF8(reason, "?")), " ")
	if reason == "" {
		reason = "The administrator of this server has cancelled the delivery"
	}
	reason = reason[:min(len(reason), maxReason)]
	return func(ctx context.Context, f queue.Filter, moved queue.Moved) (queue.Total, error) {
		why := mail.Attempt{At: s.o.Now(), Code: 554, Enhanced: "5.7.1", Text: reason}
		return s.o.Queue.Fail(ctx, f, why, moved)
	}
}

// moved tells the log of each recipient and the client, now and then, how many there were.
func (s *Server) moved(verb string, out *stream) queue.Moved {
	var n int64
	last := time.Now()
	return func(m *queue.Stored, recipient uint32, to queue.State) {
		n++
		if s.o.Moved != nil {
			s.o.Moved(verb, m, recipient, to)
		}
		if time.Since(last) >= flushEvery {
			last = time.Now()
			if out.line(Line{Progress: n}) == nil {
				out.flush()
			}
		}
	}
}

func (s *Server) total(t queue.Total) *Total {
	out := &Total{Node: s.o.Node, Index: t.Index, Messages: t.Messages, Recipients: t.Recipients, States: map[string]int64{}}
	for st, n := range t.ByState {
		if n > 0 || queue.State(st) <= queue.Held {
			out.States[queue.State(st).String()] = n
		}
	}
	return out
}

// state is a recipient's state as users see it: what is being attempted is known to the scheduler only.
func (s *Server) state(m *queue.Stored, i uint32) queue.State {
	st := m.Recipients[i].State
	if (st == queue.Ready || st == queue.Deferred) && s.o.InFlight(m.Message.ID, i) {
		return queue.InFlight
	}
	return st
}

// urgency orders the states by which recipient moves next.
var urgency = map[queue.State]int{queue.InFlight: 4, queue.Ready: 3, queue.Deferred: 2, queue.Held: 1}

// queueNames are the queues in which Postfix would have a message of this state.
var queueNames = map[queue.State]string{queue.InFlight: "active", queue.Ready: "active", queue.Deferred: "deferred", queue.Held: "hold"}

func (s *Server) message(m *queue.Stored, selected []uint32) *Message {
	e := m.Message.Envelope
	out := &Message{
		QueueID: m.Message.ID.String(), ArrivalTime: m.Message.Arrived.Unix(), MessageSize: m.Message.Size, Sender: e.Sender,
		Recipients: make([]Recipient, len(selected)), Node: s.o.Node, Tenant: e.Origin.Tenant, Campaign: e.Origin.Campaign,
	}
	next := queue.Removed
	for i, n := range selected {
		st := s.state(m, n)
		if urgency[st] > urgency[next] {
			next = st
		}
		out.Recipients[i] = s.recipient(&e.Recipients[n], st, m.Recipients[n])
	}
	out.State, out.QueueName = next.String(), queueNames[next]
	if urgency[next] == 0 { // only its reports are left
		out.State, out.QueueName = "ready", "active"
	}
	return out
}

// recipient describes one recipient. When its site is left alone for a while, that is why it waits and until when.
func (s *Server) recipient(r *mail.Recipient, st queue.State, is queue.RecipientStatus) Recipient {
	out := Recipient{Address: r.Address, State: st.String(), Attempts: is.Attempts}
	scheduled := st == queue.Ready || st == queue.Deferred
	if why, until, ok := s.o.Reason(r.Domain); scheduled && ok {
		if is.Last = why; until.After(is.Due) {
			is.Due = until
		}
	}
	if scheduled && !is.Due.IsZero() {
		out.NextAttempt = is.Due.Unix()
	}
	out.DelayReason = reason(&is.Last)
	return out
}

// reason is the last answer in the words of a log line.
func reason(a *mail.Attempt) string {
	if a.Text == "" || a.Code == 0 {
		return a.Text
	}
	text := fmt.Sprintf("%d %s", a.Code, strings.TrimSpace(a.Enhanced+" "+strings.TrimPrefix(a.Text, a.Enhanced+" ")))
	if a.Remote != "" {
		text = fmt.Sprintf("host %s[%s] said: %s", a.Remote, a.RemoteIP.Addr(), text)
	}
	return text
}

func (s *Server) detail(m *queue.Stored) *Detail {
	all := make([]uint32, len(m.Recipients))
	for i := range all {
		all[i] = uint32(i)
	}
	e := m.Message.Envelope
	d := &Detail{Message: *s.message(m, all), EnvelopeID: e.EnvelopeID, Helo: e.Origin.Helo, Protocol: e.Origin.Protocol,
		User: e.Origin.User, Listener: e.Origin.Listener, Report: m.Message.IsReport}
	if e.Origin.Client.IsValid() {
		d.Client = e.Origin.Client.String()
	}
	return d
}
