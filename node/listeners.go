package node

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/eventloop"
)

// treatment is how the connections of a listener are treated, by SMTP or POP3.
func (n *node) treatment(l config.Listener) (eventloop.ListenerOptions, error) {
	shows := func() *tls.Config { return n.cert.ConfigFor(allowOf(l)) }
	if isPOP3(l.Kind) {
		o := pop3ListenerOf(l)
		o.Authenticator, o.TLS = pop3Logins{auth: n.auth, domain: l.LoginDomain}, shows
		return n.pop3.Listener(o)
	}
	o := listenerOf(l)
	o.TLS = shows
	return n.smtp.Listener(o)
}

// tellOldTLS says in the log what a listener allows old devices.
func (n *node) tellOldTLS(l config.Listener) {
	var old []string
	if a := allowOf(l); a.Min != 0 && a.Min < tls.VersionTLS12 {
		old = append(old, "TLS "+l.TLSMin)
	}
	if l.TLSRSA {
		old = append(old, "RSA key exchange")
	}
	if len(old) > 0 {
		n.log.Errorf("listener %s allows %s, which others can break: only for devices that know "+
			"no better", l.Address, strings.Join(old, " and "))
	}
}

// listenFor opens the listeners of some kinds, when the node starts.
func (n *node) listenFor(kind func(config.Kind) bool) error {
	for _, l := range n.cfg().Listeners {
		if !kind(l.Kind) {
			continue
		}
		treatment, err := n.treatment(l)
		if err != nil {
			return fmt.Errorf("listener %s: %w", l.Address, err)
		}
		socket, err := eventloop.Listen(l.Address)
		if err != nil {
			return fmt.Errorf("listener %s: %w", l.Address, err)
		}
		if n.listeners[l.Address], err = n.engine.Serve(socket, treatment); err != nil {
			return err
		}
		n.tellOldTLS(l)
	}
	return nil
}

// planListeners opens the addresses that are new and closes those that are gone. An address that
// stays keeps its socket, also when it is for another protocol from now on: nobody is turned away
// meanwhile, and two addresses may change places. What changes of it counts for new connections.
// One that is gone and in the way of a new one is closed first, and is back if the reload is
// refused.
func (n *node) planListeners(next *config.Config, p *plan) error {
	stays := map[string]bool{}
	for _, l := range next.Listeners {
		stays[l.Address] = true
	}
	var going []*eventloop.Listener
	for address, open := range n.listeners {
		if !stays[address] {
			going = append(going, open)
		}
	}
	for _, l := range next.Listeners {
		treatment, err := n.treatment(l)
		if err != nil {
			return fmt.Errorf("listener %s: %w", l.Address, err)
		}
		if !slices.ContainsFunc(n.cfg().Listeners, func(old config.Listener) bool {
			return old.Address == l.Address && allowOf(old) == allowOf(l)
		}) {
			p.then(func() { n.tellOldTLS(l) })
		}
		if open := n.listeners[l.Address]; open != nil {
			p.then(func() { open.Configure(treatment) })
			continue
		}
		socket, giveUp, err := n.engine.ListenInstead(l.Address, going)
		if err != nil {
			return fmt.Errorf("listener %s: %w", l.Address, err)
		}
		p.orElse(giveUp)
		p.then(func() {
			open, err := n.engine.Serve(socket, treatment)
			if err != nil { // the node is stopping
				n.log.Logf("listener %s: %v", l.Address, err)
				return
			}
			n.listeners[l.Address] = open
		})
	}
	for address, open := range n.listeners {
		if !stays[address] {
			p.then(func() {
				open.Close()
				delete(n.listeners, address)
			})
		}
	}
	return nil
}
