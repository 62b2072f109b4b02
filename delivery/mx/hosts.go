package mx

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/postroad/postroad/internal/dns"
)

// addresses are what a host's name leads to.
type addresses struct {
	outcome dns.Outcome
	addrs   []netip.Addr // at most maxHostAddrs, the families taking turns
	expires time.Time
}

// maxHostAddrs bounds the addresses kept of one host: a few more than one attempt tries, so that
// Targets can vary.
const maxHostAddrs = 12

// beginHost starts the look-up of a host's addresses, or joins one, or finds it in the cache.
func (r *source) beginHost(ctx context.Context, name string) *dns.Flight[string, addresses] {
	fl, mine := r.hosts.Begin(name, r.now())
	if mine {
		go func() {
			// Not the deadline of the look-up that happens to be the first to ask.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.Deadline)
			defer cancel()
			a := r.askAddresses(ctx, name)
			r.hosts.Finish(fl, a, a.expires)
		}()
	}
	return fl
}

func (r *source) askAddresses(ctx context.Context, name string) addresses {
	if !validHost(name) {
		return addresses{outcome: dns.NoName, expires: r.now().Add(r.o.MinTTL)}
	}
	if !r.o.IPv6() { // AAAA only where there is nothing else
		v4 := r.dns.Ask(ctx, name, dns.TypeA)
		if v4.Outcome != dns.NoData {
			return r.merge(v4, dns.Answer{Outcome: dns.NoData, TTL: v4.TTL})
		}
		return r.merge(v4, r.dns.Ask(ctx, name, dns.TypeAAAA))
	}
	six := make(chan dns.Answer, 1)
	go func() { six <- r.dns.Ask(ctx, name, dns.TypeAAAA) }()
	v4 := r.dns.Ask(ctx, name, dns.TypeA)
	return r.merge(v4, <-six)
}

// merge makes one of both answers: what is there counts, then a failure (the DNS did not say), then
// what is not.
func (r *Resolver) merge(v4, v6 dns.Answer) addresses {
	a := addresses{addrs: alternate(v6.Addrs, v4.Addrs)}
	switch {
	case len(a.addrs) > 0:
		a.outcome = dns.Exists
		ttl := time.Duration(1 << 62)
		for _, one := range []dns.Answer{v4, v6} {
			if one.Outcome == dns.Exists {
				ttl = min(ttl, one.TTL)
			} else if one.Outcome == dns.Failed { // ask soon again for the other half
				ttl = min(ttl, r.o.MinTTL)
			}
		}
		a.expires = r.expiry(dns.Exists, ttl)
	case v4.Outcome == dns.Failed || v6.Outcome == dns.Failed:
		a.outcome = dns.Failed
		a.expires = r.expiry(dns.Failed, 0)
	default:
		a.outcome = max(v4.Outcome, v6.Outcome)
		a.expires = r.expiry(a.outcome, min(v4.TTL, v6.TTL))
	}
	return a
}

// expiry clamps a TTL by kind.
func (r *Resolver) expiry(o dns.Outcome, ttl time.Duration) time.Time {
	switch o {
	case dns.Failed:
		ttl = r.o.FailureTTL
	case dns.Exists:
		ttl = min(max(ttl, r.o.MinTTL), max(r.o.MaxTTL, r.o.MinTTL))
	default:
		ttl = min(max(ttl, r.o.MinTTL), max(r.o.MaxTTL/4, r.o.MinTTL))
	}
	return r.now().Add(ttl)
}

// alternate merges two lists, the first's entries first, without doubles and bounded.
func alternate(a, b []netip.Addr) (out []netip.Addr) {
	for i := 0; i < max(len(a), len(b)) && len(out) < maxHostAddrs; i++ {
		for _, l := range [][]netip.Addr{a, b} {
			if i < len(l) && len(out) < maxHostAddrs && !slices.Contains(out, l[i]) {
				out = append(out, l[i])
			}
		}
	}
	return out
}
