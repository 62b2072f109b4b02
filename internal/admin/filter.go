package admin

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/queue"
)

// states are the states that a filter may name.
var states = map[string]queue.State{"ready": queue.Ready, "inflight": queue.InFlight, "deferred": queue.Deferred, "held": queue.Held}

// Empty reports whether the filter selects everything.
func (f *Filter) Empty() bool {
	return len(f.IDs)+len(f.States) == 0 && f.Domain+f.Sender+f.Recipient+f.Tenant+f.Campaign == "" && f.Older == 0
}

// Check finds what cannot be meant. The client calls it, too, so that mistakes are told without a
// node.
func (f *Filter) Check() error {
	_, err := f.parse(time.Now())
	return err
}

// parse returns the filter as the queue takes it.
func (f *Filter) parse(now time.Time) (q queue.Filter, err error) {
	q = queue.Filter{Domain: routingDomain(f.Domain), Sender: address(f.Sender), Recipient: address(f.Recipient), Tenant: f.Tenant, Campaign: f.Campaign}
	for _, s := range f.IDs {
		id, err := mail.ParseID(s)
		if err != nil {
			return q, api.Fail(api.ExitData, fmt.Sprintf("%.60q is %v", s, err), "`postroad queue list` shows the IDs")
		}
		q.IDs = append(q.IDs, id)
	}
	for _, s := range f.States {
		st, ok := states[s]
		if !ok {
			return q, api.Fail(api.ExitUsage, fmt.Sprintf("%.60q is not a state", s), "use ready, inflight, deferred or held")
		}
		q.States = append(q.States, st)
	}
	if f.Older > 0 {
		q.Before = now.Add(-time.Duration(f.Older))
	}
	return q, nil
}

// address drops the angle brackets with which log lines show an address. "<>" is the null
// reverse-path.
func address(s string) string {
	if len(s) > 2 && s[0] == '<' && s[len(s)-1] == '>' {
		return s[1 : len(s)-1]
	}
	return s
}

// routingDomain is the form in which the queue has a domain: lower-case A-labels, or what cannot be
// one as it is.
func routingDomain(s string) string {
	if a, err := idna.Lookup.ToASCII(s); err == nil {
		return strings.ToLower(a)
	}
	return strings.ToLower(s)
}
