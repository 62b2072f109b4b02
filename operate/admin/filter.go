package admin

import (
	"time"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/queue"
)

// states are what the queue calls the states that a filter may name.
var states = map[string]queue.State{"ready": queue.Ready, "inflight": queue.InFlight,
	"deferred": queue.Deferred, "held": queue.Held}

// queueFilter returns a filter as the queue takes it, if it passes its check.
func queueFilter(f *api.Filter, now time.Time) (q queue.Filter, err error) {
	if err := f.Check(); err != nil {
		return q, err
	}
	q = queue.Filter{Domain: api.RoutingDomain(f.Domain), Sender: api.Address(f.Sender),
		Recipient: api.Address(f.Recipient), Tenant: f.Tenant, Campaign: f.Campaign}
	for _, s := range f.IDs {
		id, err := mail.ParseID(s)
		if err != nil {
			return q, err
		}
		q.IDs = append(q.IDs, id)
	}
	for _, s := range f.States {
		q.States = append(q.States, states[s])
	}
	if f.Older > 0 {
		q.Before = now.Add(-time.Duration(f.Older))
	}
	return q, nil
}
