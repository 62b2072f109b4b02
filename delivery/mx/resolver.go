package mx

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/postroad/postroad/internal/dns"
	"github.com/postroad/postroad/internal/smtp"
)

// Options of a Resolver; the zero value of each field is its default.
type Options struct {
	// "host:port" of recursive resolvers; none: those of /etc/resolv.conf, read again when it
	// changes
	Servers []string

	// Names and Addrs are ours: an exchanger that is us is dropped with all of equal or worse
	// preference (RFC 5321 5.1). An interface's address that is not in Addrs does not count.
	Names []string
	Addrs []netip.Addr
	// AllowPrivate accepts exchangers at loopback, private and link-local addresses: tests and
	// demo.
	AllowPrivate bool
	// IPv6 says whether the Internet can be reached by it; nil: whether the system has a route.
	// Without it IPv6 addresses are used only where there is no other.
	IPv6 func() bool

	Timeout     time.Duration // of one question to one server, 3 s; doubled in the second round
	Deadline    time.Duration // of one look-up with all its questions, 30 s
	Concurrency int           // look-ups at once, 256; further ones wait
	// exchangers whose addresses are looked up, 10; more are not asked for
	MaxHosts int

	CacheEntries int           // routes kept, 20,000; as many address sets
	MinTTL       time.Duration // answers are kept at least this long, 30 s
	MaxTTL       time.Duration // and at most this long, 1 h; negative ones a quarter of it
	// SERVFAIL and time-outs are not asked again for this long, 15 s (RFC 2308 section 7)
	FailureTTL time.Duration

	// Took hears how long each look-up has taken that memory did not answer, on a goroutine of its
	// own. nil: nobody.
	Took func(time.Duration)
}

func (o *Options) setDefaults() {
	def(&o.Deadline, 30*time.Second)
	def(&o.Concurrency, 256)
	def(&o.MaxHosts, 10)
	def(&o.CacheEntries, 20_000)
	def(&o.MinTTL, 30*time.Second)
	def(&o.MaxTTL, time.Hour)
	def(&o.FailureTTL, 15*time.Second)
	if o.Took == nil {
		o.Took = func(time.Duration) {}
	}
	if o.IPv6 == nil {
		o.IPv6 = new(ipv6Route).ok
	}
}

func def[T int | time.Duration](p *T, v T) {
	if *p <= 0 {
		*p = v
	}
}

// Resolver finds routes. Safe for use by several goroutines. It has no goroutine while nobody asks;
// while it asks it has at most Concurrency look-ups, each with MaxHosts hosts.
type Resolver struct {
	o       Options
	own     map[string]bool
	dns     *dns.Client
	source  atomic.Pointer[source]
	slots   chan struct{} // one per look-up under way
	now     func() time.Time
	lookups atomic.Uint64
	hits    atomic.Uint64
}

type routeKey struct {
	name string
	host bool // the name's addresses, not its exchangers
}

// found is what a look-up came to: one of the two.
type found struct {
	route *Route
	f     *smtp.Failure
}

// New returns a resolver.
func New(o Options) (*Resolver, error) {
	o.setDefaults()
	client, err := dns.New(dns.Options{Servers: o.Servers, Timeout: o.Timeout})
	if err != nil {
		return nil, err
	}
	r := &Resolver{
		o: o, dns: client, own: map[string]bool{}, now: time.Now,
		slots: make(chan struct{}, o.Concurrency),
	}
	r.source.Store(r.newSource(o.Servers, o.AllowPrivate))
	for _, n := range o.Names {
		r.own[dns.PlainName(n)] = true
	}
	return r, nil
}

// Lookup finds the route of a domain (lower-case A-labels, or an address literal in brackets), from
// the cache or by asking. The failure is permanent when the domain does not exist (5.1.2), takes no
// mail (5.1.10, RFC 7505) or cannot be reached (5.4.4, 5.4.6), temporary when the DNS did not say
// (4.4.3).
func (r *Resolver) Lookup(ctx context.Context, domain string) (*Route, *smtp.Failure) {
	return r.lookup(ctx, routeKey{name: domain})
}

// LookupHost finds the addresses of one host by name, address or address literal: a smart host. No
// MX is asked for, any address is allowed, since the operator named it, and for the same reason
// each failure is temporary.
func (r *Resolver) LookupHost(ctx context.Context, host string) (*Route, *smtp.Failure) {
	return r.lookup(ctx, routeKey{name: host, host: true})
}

// Texts asks for the TXT records of a name. It keeps no answers.
func (r *Resolver) Texts(ctx context.Context, name string) dns.Answer {
	return r.dns.Ask(ctx, name, dns.TypeTXT)
}

// Cached answers as Lookup would, but only from memory: ok is false when it does not know. It never
// blocks.
func (r *Resolver) Cached(domain string) (route *Route, f *smtp.Failure, ok bool) {
	return r.cached(routeKey{name: domain})
}

// CachedHost is Cached for LookupHost.
func (r *Resolver) CachedHost(host string) (route *Route, f *smtp.Failure, ok bool) {
	return r.cached(routeKey{name: host, host: true})
}

func (r *Resolver) cached(k routeKey) (*Route, *smtp.Failure, bool) {
	return r.source.Load().cached(k)
}

func (r *source) cached(k routeKey) (*Route, *smtp.Failure, bool) {
	v, ok := r.routes.Get(k, r.now())
	if ok {
		r.hits.Add(1)
	}
	return v.route, v.f, ok
}

func (r *Resolver) lookup(ctx context.Context, k routeKey) (*Route, *smtp.Failure) {
	for {
		s := r.source.Load()
		route, f := s.lookup(ctx, k)
		if s == r.source.Load() {
			return route, f
		} // else others are asked from now on
	}
}

func (r *source) lookup(ctx context.Context, k routeKey) (*Route, *smtp.Failure) {
	if route, f, ok := r.cached(k); ok {
		return route, f
	}
	// The slot is taken before the flight begins, so that a thousand callers make no thousand
	// flights.
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, failLookup("the look-up of " + k.name + " had to wait too long").With(ctx.Err())
	case <-r.over:
		return nil, errUnknown
	}
	fl, mine := r.routes.Begin(k, r.now())
	if mine {
		r.lookups.Add(1)
		go func() {
			defer func() { <-r.slots }()
			begun := r.now()
			v, expires := r.resolve(k)
			r.o.Took(r.now().Sub(begun))
			r.routes.Finish(fl, v, expires)
		}()
	} else {
		<-r.slots
	}
	select {
	case <-fl.Done():
		v := fl.Value()
		return v.route, v.f
	case <-ctx.Done():
		return nil, failLookup("the look-up of " + k.name + " took too long").With(ctx.Err())
	case <-r.over:
		return nil, errUnknown
	}
}

// resolve runs on its own goroutine, which the flight owns, under a deadline of its own: the caller
// who began it may leave before it ends, the others who wait for it not.
func (r *source) resolve(k routeKey) (found, time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), r.o.Deadline)
	defer cancel()
	if k.host {
		return r.resolveHost(ctx, k.name)
	}
	return r.resolveDomain(ctx, k.name)
}

// Stats are counts since the start.
type Stats struct {
	Lookups, Hits uint64 // asked of the DNS; answered from memory
	dns.Stats
	Entries int
}

// Stats returns the counts.
func (r *Resolver) Stats() Stats {
	s := r.source.Load()
	return Stats{r.lookups.Load(), r.hits.Load(), r.dns.Stats(), s.routes.Len() + s.hosts.Len()}
}
