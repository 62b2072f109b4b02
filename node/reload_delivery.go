package node

import (
	"sync"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/internal/config"
)

// outgoing is by what mail leaves this node: the settings that the start or the latest reload read,
// secrets from files included. All terms of ownership go by them, those that begin later too.
type outgoing struct {
	mu       sync.Mutex // held while a term begins and while others are put in force
	settings delivery.Settings
	terms    map[*tenure]struct{}
}

// begin has a term begin with the settings in force. From then on it gets each other one.
func (o *outgoing) begin(t *tenure, begin func(delivery.Settings) error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := begin(o.settings)
	if err == nil {
		o.terms[t] = struct{}{}
	}
	return err
}

func (o *outgoing) end(t *tenure) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.terms, t)
}

// planDelivery has mail leave by other routes, limits, retry schedule and servers.
func (n *node) planDelivery(next *config.Config, p *plan) error {
	settings, err := deliveryOf(next)
	if err != nil {
		return err
	}
	if err := settings.Check(); err != nil {
		return err
	}
	if err := mx.CheckServers(next.DNS.Servers); err != nil {
		return err
	}
	p.then(func() {
		asked, err := n.resolver.Configure(next.DNS.Servers,
			next.Delivery.AllowPrivateDestinations)
		if err != nil { // it was checked
			n.log.Errorf("%v", err)
		}
		n.outgoing.configure(settings, asked, n.log.Errorf)
	})
	return nil
}

// configure puts other settings in force for all terms; with asked all hosts are looked up again.
// They have been checked.
func (o *outgoing) configure(
	to delivery.Settings, asked bool, errorf func(format string, args ...any),
) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settings = to
	for t := range o.terms {
		if err := t.scheduler.Configure(to); err != nil {
			errorf("group %d: %v", t.h.ID(), err)
		}
		t.reporter.Configure(reportSettings(to))
		if asked {
			t.scheduler.ForgetHosts()
		}
	}
}
