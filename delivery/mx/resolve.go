package mx

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/postroad/postroad/internal/dns"
	"github.com/postroad/postroad/internal/smtp"
)

// resolveDomain does one look-up, as RFC 5321 section 5.1 says: MX records, else the domain's own
// addresses.
func (r *source) resolveDomain(ctx context.Context, domain string) (found, time.Time) {
	if a, ok := literal(domain); ok {
		return r.resolveLiteral(domain, a)
	}
	name := dns.PlainName(domain)
	if !validHost(name) {
		return r.fail(errBadDomain, dns.NoName, r.o.MinTTL)
	}
	a := r.dns.Ask(ctx, name, dns.TypeMX)
	switch a.Outcome {
	case dns.Failed:
		return r.fail(errUnknown, dns.Failed, 0)
	case dns.NoName:
		return r.fail(errNoDomain, dns.NoName, a.TTL)
	case dns.NoData: // implicit MX
		a.MX = []dns.MX{{Host: name}}
		return r.routeTo(ctx, a, errNoMail)
	}
	return r.routeTo(ctx, a, errNoAddress)
}

// routeTo asks for the exchangers' addresses, all at once, and judges them. noAddress is what to
// say when none has one.
func (r *source) routeTo(
	ctx context.Context, a dns.Answer, noAddress *smtp.Failure,
) (found, time.Time) {
	p, f := newPlan(a.MX, r.own, r.o.MaxHosts, rand.Shuffle)
	if f != nil {
		return r.fail(f, dns.Exists, a.TTL)
	}
	flights := make([]*dns.Flight[string, addresses], len(p.candidates))
	for i, x := range p.candidates {
		flights[i] = r.beginHost(ctx, x.Host)
	}
	t := tally{self: p.self, unknown: p.more, expires: r.expiry(dns.Exists, a.TTL)}
	for i, x := range p.candidates {
		select {
		case <-flights[i].Done():
		case <-ctx.Done():
			t.unknown = true
			t.until(r.expiry(dns.Failed, 0))
			continue
		}
		if !t.add(x, flights[i].Value(), r.o.Addrs, r.allowPrivate) {
			break
		}
	}
	f = t.verdict()
	switch f {
	case nil:
		return found{route: &Route{Hosts: t.hosts, Site: p.site, Expires: t.expires}}, t.expires
	case errUnknown:
		return r.fail(f, dns.Failed, 0)
	case errNoAddress:
		f = noAddress
	}
	return r.fail(f, dns.NoData, t.expires.Sub(r.now()))
}

func (r *source) resolveLiteral(domain string, a netip.Addr) (found, time.Time) {
	never := r.now().Add(r.o.MaxTTL)
	if !a.IsValid() {
		return found{f: errBadDomain}, never
	}
	t := tally{expires: never}
	t.add(dns.MX{Host: domain}, addresses{outcome: dns.Exists, addrs: []netip.Addr{a},
		expires: never}, r.o.Addrs, r.allowPrivate)
	if f := t.verdict(); f != nil {
		return found{f: f}, never
	}
	return found{route: &Route{Hosts: t.hosts, Site: domain, Expires: never}}, never
}

// resolveHost finds a smart host's addresses.
func (r *source) resolveHost(ctx context.Context, host string) (found, time.Time) {
	a, isLiteral := literal(host)
	if !isLiteral {
		a, _ = netip.ParseAddr(host)
	}
	if a.IsValid() {
		never := r.now().Add(r.o.MaxTTL)
		return found{route: &Route{Hosts: []Host{{Name: host, Addrs: []netip.Addr{a}}}, Site: host,
			Expires: never}}, never
	}
	name := dns.PlainName(host)
	fl := r.beginHost(ctx, name)
	select {
	case <-fl.Done():
	case <-ctx.Done():
		return r.fail(failLookup("The DNS gives no answer for the smart host of this route"),
			dns.Failed, 0)
	}
	switch v := fl.Value(); v.outcome {
	case dns.Exists:
		return found{route: &Route{Hosts: []Host{{Name: name, Addrs: v.addrs}}, Site: name,
			Expires: v.expires}}, v.expires
	case dns.Failed:
		return r.fail(failLookup("The DNS gives no answer for the smart host of this route"),
			dns.Failed, 0)
	default:
		return found{f: errSmartHost}, v.expires
	}
}

func (r *Resolver) fail(f *smtp.Failure, o dns.Outcome, ttl time.Duration) (found, time.Time) {
	return found{f: f}, r.expiry(o, ttl)
}
