package delivery

import (
	"encoding/hex"
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/queue"
)

// logOutcomes writes one record per recipient of an attempt. cn is nil when none was made.
func (s *Scheduler) logOutcomes(cn *conn, t *transaction, now time.Time) {
	var r *maillog.Record
	if cn != nil {
		r = &cn.shell.record
	} else {
		r = new(maillog.Record)
	}
	s.describe(r, t.message)
	r.At = now
	r.PossibleDuplicate = t.possible
	r.Delays[1] = max(0, t.started.Sub(t.message.Arrived))
	if cn != nil {
		r.Site, r.Relay = cn.site.name, cn.shell.host
		r.Delays[3] = now.Sub(t.started)
		if cn.sent == 0 { // the connection was opened for this
			r.Delays[2] = min(cn.shell.opening, r.Delays[1])
			r.Delays[1] -= r.Delays[2]
		}
	}
	for i := range t.outcomes {
		s.logOutcome(r, t, i)
	}
}

func (s *Scheduler) logOutcome(r *maillog.Record, t *transaction, i int) {
	o := &t.outcomes[i]
	switch o.State {
	case queue.Relayed, queue.Delivered:
		r.Type = maillog.Delivery
	case queue.Deferred:
		r.Type = maillog.TransientFailure
	case queue.Expired:
		r.Type = maillog.Expiration
	default:
		r.Type = maillog.Bounce
	}
	r.Recipient = t.message.Envelope.Recipients[o.Recipient].Address
	r.Queue = o.Domain
	r.Attempts = t.entryOf(o.Recipient).item.Attempts + 1
	r.NextAttempt = o.Due
	setAnswer(r, &o.Attempt)
	s.o.Log.Log(r)
}

// describe begins a record with what all records of a message have in common.
func (s *Scheduler) describe(r *maillog.Record, m *queue.Message) {
	env := m.Envelope
	*r = maillog.Record{
		ID: m.ID, Sender: env.Sender, Recipients: len(env.Recipients), Size: m.Size, Created: m.Arrived,
		Tenant: env.Origin.Tenant, Campaign: env.Origin.Campaign, User: env.Origin.User,
	}
	if len(env.TraceContext) >= 16 {
		r.TraceID = hex.EncodeToString(env.TraceContext[:16])
	}
}

// setAnswer copies what an attempt came to.
func setAnswer(r *maillog.Record, a *mail.Attempt) {
	r.Code, r.Enhanced, r.Text = a.Code, a.Enhanced, a.Text
	r.Relay, r.Peer, r.Source, r.TLS = a.Remote, a.RemoteIP, a.LocalIP, a.TLS
}
