package mx

import (
	"context"
	"net/netip"
	"time"

	"github.com/postroad/postroad/internal/smtp"
)

// Options of a Resolver; the zero value of each field is its default.
type Options struct {
	Servers []string // "host:port" of recursive resolvers; none: those of /etc/resolv.conf, read again when it changes

	// Names and Addrs are ours: an exchanger that is us is dropped with all of equal or worse preference (RFC 5321 5.1). An
	// interface's address that is not in Addrs does not count.
	Names []string
	Addrs []netip.Addr
	// AllowPrivate accepts exchangers at loopback, private and link-local addresses: tests and demo.
	AllowPrivate bool

	Timeout     time.Duration // of one question to one server, 3 s; doubled in the second round
	Deadline    time.Duration // of one look-up with all its questions, 30 s
	Concurrency int           // look-ups at once, 128; further ones wait

	MaxHosts int // exchangers whose addresses are looked up, 10; more are not asked for

	CacheEntries int           // routes kept, 20,000; as many address sets
	MinTTL       time.Duration // answers are kept at least this long, 30 s
	MaxTTL       time.Duration // and at most this long, 1 h
	FailureTTL   time.Duration // SERVFAIL and time-outs are not asked again for this long, 15 s (RFC 2308 section 7)
}

// DefaultTargets is how many addresses one attempt tries.
const DefaultTargets = 5

// Resolver finds routes. Safe for use by several goroutines. It has no goroutine of its own while nobody asks.
type Resolver struct{}

// New returns a resolver.
func New(o Options) (*Resolver, error) { return &Resolver{}, nil }

// Lookup finds the route of a domain (lower-case A-labels, or an address literal in brackets), from the cache or by asking. The
// failure is permanent when the domain does not exist (5.1.2), takes no mail (5.1.10, RFC 7505) or cannot be reached
// (5.4.4, 5.4.6), temporary when the DNS did not say (4.4.3).
func (r *Resolver) Lookup(ctx context.Context, domain string) (*Route, *smtp.Failure) {
	return nil, smtp.Temp(451, "4.4.3", "not yet")
}

// LookupHost finds the addresses of one host by name or address literal: a smart host. No MX is asked for, and any address is allowed,
// since the operator named it.
func (r *Resolver) LookupHost(ctx context.Context, host string) (*Route, *smtp.Failure) {
	return nil, smtp.Temp(451, "4.4.3", "not yet")
}

// Cached answers as Lookup would, but only from memory: ok is false when it does not know. It never blocks.
func (r *Resolver) Cached(domain string) (route *Route, f *smtp.Failure, ok bool) { return nil, nil, false }

// CachedHost is Cached for LookupHost.
func (r *Resolver) CachedHost(host string) (route *Route, f *smtp.Failure, ok bool) {
	return nil, nil, false
}

// Stats are counts since the start.
type Stats struct {
	Lookups, Hits, Questions, TCP, Retries, Timeouts, Mismatched, Servfail uint64
	Entries                                                                int
}

// Stats returns the counts.
func (r *Resolver) Stats() Stats { return Stats{} }
