package mx

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// addresses are what a host's name leads to.
type addresses struct {
	outcome outcome
	addrs   []netip.Addr // at most maxHostAddrs, the families taking turns
	expires time.Time
}

// maxHostAddrs bounds the addresses kept of one host: a few more than one attempt tries, so that
// Targets can vary.
const maxHostAddrs = 12

// beginHost starts the look-up of a host's addresses, or joins one, or finds it in the cache.
func (r *Resolver) beginHost(ctx context.Context, name string) *flight[string, addresses] {
	fl, mine := r.hosts.begin(name, r.now())
	if mine {
		go func() {
			// Not the deadline of the look-up that happens to be the first to ask.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.Deadline)
			defer cancel()
			a := r.askAddresses(ctx, name)
			r.hosts.finish(fl, a, a.expires)
		}()
	}
	return fl
}

func (r *Resolver) askAddresses(ctx context.Context, name string) addresses {
	if !validHost(name) {
		return addresses{outcome: noName, expires: r.now().Add(r.o.MinTTL)}
	}
	if !r.o.IPv6() { // AAAA only where there is nothing else
		v4 := r.ask(ctx, name, dns.TypeA)
		if v4.outcome != noData {
			return r.merge(v4, answer{outcome: noData, ttl: v4.ttl})
		}
		return r.merge(v4, r.ask(ctx, name, dns.TypeAAAA))
	}
	six := make(chan answer, 1)
	go func() { six <- r.ask(ctx, name, dns.TypeAAAA) }()
	v4 := r.ask(ctx, name, dns.TypeA)
	return r.merge(v4, <-six)
}

// merge makes one of both answers: what is there counts, then a failure (the DNS did not say), then
// what is not.
func (r *Resolver) merge(v4, v6 answer) addresses {
	a := addresses{addrs: alternate(v6.addrs, v4.addrs)}
	switch {
	case len(a.addrs) > 0:
		a.outcome = exists
		ttl := time.Duration(1 << 62)
		for _, one := range []answer{v4, v6} {
			if one.outcome == exists {
				ttl = min(ttl, one.ttl)
			} else if one.outcome == failed { // ask soon again for the other half
				ttl = min(ttl, r.o.MinTTL)
			}
		}
		a.expires = r.expiry(exists, ttl)
	case v4.outcome == failed || v6.outcome == failed:
		a.outcome = failed
		a.expires = r.expiry(failed, 0)
	default:
		a.outcome = max(v4.outcome, v6.outcome)
		a.expires = r.expiry(a.outcome, min(v4.ttl, v6.ttl))
	}
	return a
}

// expiry clamps a TTL by kind.
func (r *Resolver) expiry(o outcome, ttl time.Duration) time.Time {
	switch o {
	case failed:
		ttl = r.o.FailureTTL
	case exists:
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
