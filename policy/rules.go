package policy

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
)

// ruleSet is Rules made ready for look-ups. Immutable.
type ruleSet struct {
	networks     []netip.Prefix
	local, relay domainSet
	// where postmaster's mail goes; no Address: it stays with the local domain
	postmaster           mail.Recipient
	bareDomain           string // of a postmaster without one
	messages, recipients Rate
	unknown              Rate
}

func compile(r Rules) (set *ruleSet, err error) {
	set = &ruleSet{networks: make([]netip.Prefix, 0, len(r.Networks)), messages: r.Messages,
		recipients: r.Recipients, unknown: r.Unknown}
	for _, n := range r.Networks {
		if !n.IsValid() {
			return nil, fmt.Errorf("%v is not a network", n)
		}
		set.networks = append(set.networks, unmap(n))
	}
	if set.local, err = newDomainSet(r.LocalDomains); err != nil {
		return nil, fmt.Errorf("local domains: %w", err)
	}
	if set.relay, err = newDomainSet(r.RelayDomains); err != nil {
		return nil, fmt.Errorf("relay domains: %w", err)
	}
	if r.Postmaster != "" {
		args, f := smtp.ParseRcpt([]byte("TO:<"+r.Postmaster+">"), smtp.Extensions{SMTPUTF8: true})
		if f != nil || args.Domain == "" {
			return nil, fmt.Errorf("postmaster %q is not an address of the form user@domain",
				r.Postmaster)
		}
		set.postmaster = mail.Recipient{Address: args.Address, Domain: args.Domain}
	}
	if set.bareDomain, err = bareDomain(r); err != nil {
		return nil, fmt.Errorf("the domain of a postmaster without one: %w", err)
	}
	return set, nil
}

// bareDomain is the first local domain that is one, else the host name.
func bareDomain(r Rules) (string, error) {
	for _, d := range r.LocalDomains {
		if !strings.HasPrefix(d, "*.") {
			return smtp.Domain(d)
		}
	}
	return smtp.Domain(r.Hostname)
}

// unmap makes an IPv4 network of one that is written inside ::ffff:0:0/96.
func unmap(n netip.Prefix) netip.Prefix {
	if n.Addr().Is4In6() && n.Bits() >= 96 {
		return netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96).Masked()
	}
	return n.Masked()
}

func (s *ruleSet) trusts(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, n := range s.networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// toPostmaster gives a recipient that is postmaster the address of the configured one, and keeps
// what the client wrote as the original recipient for reports (RFC 3461 4.2).
func (s *ruleSet) toPostmaster(r *mail.Recipient) {
	if s.postmaster.Address == "" {
		return
	}
	if r.ORcpt == "" && smtp.IsASCII(r.Address) {
		r.ORcpt = smtp.Typed(r.Address)
	}
	r.Address, r.Domain = s.postmaster.Address, s.postmaster.Domain
}

// domainSet holds names and, under ".example.net", everything below a name.
type domainSet map[string]struct{}

func newDomainSet(names []string) (domainSet, error) {
	set := make(domainSet, len(names))
	for _, name := range names {
		below := ""
		if rest, ok := strings.CutPrefix(name, "*."); ok {
			name, below = rest, "."
		}
		domain, err := smtp.Domain(name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		set[below+domain] = struct{}{}
	}
	return set, nil
}

// has takes a routing domain: lower-case A-labels.
func (s domainSet) has(domain string) bool {
	if _, ok := s[domain]; ok {
		return true
	}
	for {
		dot := strings.IndexByte(domain, '.')
		if dot < 0 {
			return false
		}
		if _, ok := s[domain[dot:]]; ok {
			return true
		}
		domain = domain[dot+1:]
	}
}
