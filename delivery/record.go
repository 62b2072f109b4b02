package delivery

import (
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
	*r = maillog.Record{At: now}
	r.Describe(t.message.ID, t.message.Envelope, t.message.Size, t.message.Arrived)
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
	case queue.Relayed, queue.Delivered, queue.Expanded:
		r.Type = maillog.Delivery
	case queue.Deferred:
		r.Type = maillog.TransientFailure
	case queue.Expired:
		r.Type = maillog.Expiration
	default:
		r.Type = maillog.Bounce
	}
	r.To(&t.message.Envelope.Recipients[o.Recipient])
	r.Queue = o.Domain
	r.Attempts = t.entryOf(o.Recipient).item.Attempts + 1
	r.NextAttempt = o.Due
	setAnswer(r, &o.Attempt)
	s.o.Log.Log(r)
}

// setAnswer copies what an attempt came to.
func setAnswer(r *maillog.Record, a *mail.Attempt) {
	r.Code, r.Enhanced, r.Text = a.Code, a.Enhanced, a.Text
	r.Relay, r.Peer, r.Source, r.TLS = a.Remote, a.RemoteIP, a.LocalIP, a.TLS
}
