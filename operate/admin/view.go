package admin

import (
	"fmt"
	"strings"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/queue"
)

// state is a recipient's state as users see it: what is being attempted is known to the scheduler
// only.
func (q *LocalQueue) state(m *queue.Stored, i uint32) queue.State {
	st := m.Recipients[i].State
	if (st == queue.Ready || st == queue.Deferred) && q.inFlight(m.Message.ID, i) {
		return queue.InFlight
	}
	return st
}

// urgency orders the states by which recipient moves next.
var urgency = map[queue.State]int{queue.InFlight: 4, queue.Ready: 3, queue.Deferred: 2,
	queue.Held: 1}

// queueNames are the queues in which Postfix would have a message of this state.
var queueNames = map[queue.State]string{queue.InFlight: "active", queue.Ready: "active",
	queue.Deferred: "deferred", queue.Held: "hold"}

func (q *LocalQueue) message(node string, m *queue.Stored, selected []uint32) *api.Message {
	e := m.Message.Envelope
	out := &api.Message{
		QueueID: m.Message.ID.String(), ArrivalTime: m.Message.Arrived.Unix(),
		MessageSize: m.Message.Size, Sender: e.Sender, ID: m.Message.ID.String(),
		Created: api.At(m.Message.Arrived), Size: m.Message.Size,
		Recipients: make([]api.Recipient, len(selected)), Node: node, Group: q.Group,
		Tenant: e.Origin.Tenant, Campaign: e.Origin.Campaign,
	}
	next := queue.Removed
	for i, n := range selected {
		st := q.state(m, n)
		if urgency[st] > urgency[next] {
			next = st
		}
		out.Recipients[i] = q.recipient(e, n, st, m.Recipients[n])
	}
	out.State, out.QueueName = next.String(), queueNames[next]
	if urgency[next] == 0 { // only its reports are left
		out.State, out.QueueName = "ready", "active"
	}
	return out
}

// recipient describes one recipient. When it is suspended, or its site is left alone for a while,
// that is why it waits and until when.
func (q *LocalQueue) recipient(
	e *mail.Envelope, n uint32, st queue.State, is queue.RecipientStatus,
) api.Recipient {
	r := &e.Recipients[n]
	out := api.Recipient{Address: r.Address, State: st.String(), Attempts: is.Attempts}
	scheduled := st == queue.Ready || st == queue.Deferred
	if scheduled && q.Waits != nil {
		out.Waits = q.Waits(r.Domain, is.Due)
	}
	if why, until, ok := q.reason(r.Domain); scheduled && ok {
		if is.Last = why; until.After(is.Due) {
			is.Due = until
		}
	}
	if why, until, ok := q.suspension(r.Domain, &e.Origin); scheduled && ok {
		out.Waits = ""
		if is.Last = (mail.Attempt{Text: "suspended: " + why}); until.After(is.Due) {
			is.Due = until
		}
	}
	if scheduled && !is.Due.IsZero() {
		out.NextAttempt, out.Next = is.Due.Unix(), api.At(is.Due)
	}
	out.DelayReason = reason(&is.Last)
	return out
}

// reason is the last answer in the words of a log line: the peer's, or our own finding.
func reason(a *mail.Attempt) string {
	host := a.Remote
	if a.RemoteIP.IsValid() {
		host = fmt.Sprintf("host %s[%s]", host, a.RemoteIP.Addr().Unmap())
	} else if !strings.HasPrefix(host, "/") { // nor a socket: nobody else said anything
		return a.Text
	}
	if a.Code == 0 {
		return a.Text
	}
	return host + " said: " + a.Answer()
}

func (q *LocalQueue) detail(node string, m *queue.Stored) *api.Detail {
	all := make([]uint32, len(m.Recipients))
	for i := range all {
		all[i] = uint32(i)
	}
	e := m.Message.Envelope
	d := &api.Detail{Message: *q.message(node, m, all), EnvelopeID: e.EnvelopeID,
		Helo: e.Origin.Helo, Protocol: e.Origin.Protocol,
		User: e.Origin.User, Listener: e.Origin.Listener, Report: m.Message.IsReport}
	if e.Origin.Client.IsValid() {
		d.Client = e.Origin.Client.String()
	}
	return d
}
