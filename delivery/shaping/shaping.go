// Package shaping has the limits of sites: what of the configuration holds for whom, and how a rate
// is kept. It knows no connections and no clock.
package shaping

import (
	"fmt"
	"maps"
	"strconv"
	"time"
)

// Limits are the limits of one site. Zero means: take it from "default".
type Limits struct {
	Connections           int  // open connections to the site (default 20)
	MessagesPerConnection int  // transactions on one connection (default 100)
	RecipientsPerMessage  int  // recipients in one transaction (default 100)
	Rate                  Rate // transactions per time; NoRate: unlimited, whatever Default says
	// Scope is Cluster (default) or Node: whether Connections and Rate hold for all nodes together.
	Scope string
	// ConnectionsOf and RateOf are the names that these two come from: Set.Of says so.
	ConnectionsOf, RateOf string
}

// Scopes of limits.
const (
	Cluster = "cluster"
	Node    = "node"
)

// Names that are no hosts'.
const (
	Default = "default" // where nothing else is configured
	Local   = "local"   // the mailboxes here
)

// Rate is a number of transactions in a time. The zero value is no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

// NoRate is the rate of a site that has none where Default has one.
var NoRate = Rate{Count: -1}

// PerSecond returns the rate as a number; 0: no limit.
func (r Rate) PerSecond() float64 {
	if r.Count <= 0 || r.Per <= 0 {
		return 0
	}
	return float64(r.Count) / r.Per.Seconds()
}

// String returns the rate as the configuration has it.
func (r Rate) String() string {
	per := r.Per.String()
	switch r.Per {
	case time.Second:
		per = "s"
	case time.Minute:
		per = "m"
	case time.Hour:
		per = "h"
	case 24 * time.Hour:
		per = "d"
	}
	return strconv.Itoa(r.Count) + "/" + per
}

// Set has the limits by name: Default, Local, a recipient domain, or a suffix of MX names. It never
// changes.
type Set struct {
	named       map[string]Limits
	base, local Limits
}

// Site is whose limits are asked for.
type Site struct {
	Domain string // whose limits it has, for they are its own; "": they are by its hosts
	Local  bool   // it is the mailboxes here
	// Under reports whether all its hosts lie under a domain.
	Under func(suffix string) bool
}

// NewSet returns the set of some limits, or what is wrong with them.
func NewSet(named map[string]Limits) (*Set, error) {
	for name, l := range named {
		if l.Scope != "" && l.Scope != Cluster && l.Scope != Node {
			return nil, fmt.Errorf("shaping of %q: there is no scope %q", name, l.Scope)
		}
	}
	base := Limits{Connections: 20, MessagesPerConnection: 100, RecipientsPerMessage: 100,
		ConnectionsOf: Default}
	// The limits of other people's hosts say nothing of the mailboxes here. Their connections are
	// the messages that may be on their way into the store, which gathers them into commands.
	local := Limits{Connections: 200, MessagesPerConnection: 1 << 30, RecipientsPerMessage: 1000,
		Scope: Node, ConnectionsOf: Local}
	return &Set{named: maps.Clone(named), base: base.overlay(Default, named[Default]),
		local: local.overlay(Local, named[Local])}, nil
}

// Equal reports whether the limits of two sets are the same.
func (s *Set) Equal(o *Set) bool { return maps.Equal(s.named, o.named) }

// Has reports whether a domain has limits of its own.
func (s *Set) Has(domain string) bool {
	_, ok := s.named[domain]
	return ok && domain != Local
}

// Of returns the limits of a site: those of the domain that has its own, or what the hosts are
// under.
func (s *Set) Of(site Site) Limits {
	limits, name := s.base, s.name(site)
	if site.Local {
		limits = s.local
	}
	if name == "" || name == Local {
		return limits
	}
	return limits.overlay(name, s.named[name])
}

// name returns the name that a site's limits are under; "": Default. A longer suffix wins over a
// shorter one.
func (s *Set) name(site Site) (best string) {
	switch {
	case site.Domain != "":
		return site.Domain
	case site.Local:
		return Local
	}
	for name := range s.named {
		if len(name) > len(best) && name != Default && name != Local && site.Under(name) {
			best = name
		}
	}
	return best
}

// overlay returns l with the fields of o, which has a name, that are set.
func (l Limits) overlay(name string, o Limits) Limits {
	set := func(p *int, v int) {
		if v > 0 {
			*p = v
		}
	}
	if set(&l.Connections, o.Connections); o.Connections > 0 {
		l.ConnectionsOf = name
	}
	set(&l.MessagesPerConnection, o.MessagesPerConnection)
	set(&l.RecipientsPerMessage, o.RecipientsPerMessage)
	switch {
	case o.Rate.Count > 0:
		l.Rate, l.RateOf = o.Rate, name
	case o.Rate.Count < 0:
		l.Rate, l.RateOf = Rate{}, ""
	}
	if o.Scope != "" {
		l.Scope = o.Scope
	}
	return l
}
