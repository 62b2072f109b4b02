package config

import (
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Warnings are what works, and is hardly meant. `config check` and serve tell them.
func (c *Config) Warnings(file string) Problems {
	k := &checker{Config: c, file: file}
	for i, n := range c.Relay.Networks {
		if wide(n.Prefix) {
			k.bad("relay.networks["+strconv.Itoa(i)+"]", n.String()+" may relay without a "+
				"password: this is an open relay, unless something else keeps strangers out",
				"name the networks of your own clients; others log in")
		}
	}
	return k.problems
}

// wide reports whether a network has more of the public addresses than anybody owns.
func wide(n netip.Prefix) bool {
	if n.Addr().IsPrivate() || n.Addr().IsLinkLocalUnicast() {
		return false
	}
	if n.Addr().Is4() {
		return n.Bits() < 8
	}
	return n.Bits() < 16
}

// Relays reports whether relay.domains names a domain itself, in whatever letters. What is below a
// name of it ("*.example.net") may be local nevertheless.
func (c *Config) Relays(domain string) bool {
	for _, d := range c.Relay.Domains {
		if sameDomain(d, domain) {
			return true
		}
	}
	return false
}

func sameDomain(a, b string) bool { return strings.EqualFold(a, b) || aLabels(a) == aLabels(b) }

// aLabels is a domain as it is looked up; what is none stays as it is.
func aLabels(d string) string {
	if ascii, err := idna.Lookup.ToASCII(d); err == nil {
		return ascii
	}
	return d
}
