// Package mx finds where a domain's mail goes (RFC 5321 section 5): MX records, or the domain's own
// addresses when it has none, from DNS servers whose answers are believed only when they answer
// what was asked.
package mx

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

// Host is one mail exchanger that can be tried.
type Host struct {
	Name  string // lower case, no final dot; an address literal in its brackets
	Pref  uint16 // less is tried first
	Addrs []netip.Addr
}

// Route says where a domain's mail goes. It is read-only and shared.
type Route struct {
	Hosts []Host // ascending preference, at least one, each with at least one address
	// Site is the same for all domains whose mail goes to the same set of exchangers, whatever
	// their order: "(mx1|mx2).example.net". It ends with the exchangers' common suffix.
	Site    string
	Expires time.Time
}

// DefaultTargets is how many addresses one attempt tries.
const DefaultTargets = 5

// Target is one address to try.
type Target struct {
	Name string
	Addr netip.Addr
}

// Targets returns up to n addresses for one attempt (0: DefaultTargets): ascending preference,
// shuffled afresh where it is equal (RFC 5321 5.1), so that each call spreads the load; no host
// fills the list while another has an address to add.
func (r *Route) Targets(n int) []Target { return r.targets(n, rand.Shuffle) }
