package delivery

import (
	"math"
	"net/netip"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/postroad/postroad/delivery/share"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
)

// Options configure a Scheduler. The zero value of a field means its default, unless the field says
// otherwise.
type Options struct {
	// Routes are tried in order for each recipient; the first match wins, no match means MX.
	Routes []Route
	// Shaping holds the limits per site: "default", "local", and by recipient domain or by MX
	// suffix. The domain itself wins over an MX suffix, a longer suffix over a shorter one. Fields
	// that are zero there are taken from "default".
	Shaping map[string]Shaping
	Retry   Retry
	Backoff Backoff
	// Local says whether a domain's mail is for mailboxes here; it must not block. Such mail goes
	// to Store, unless the route that it matches says a domain or a recipient: routes without are
	// for other people's mail. nil: there are no mailboxes.
	Local func(domain string) bool
	// Store takes the mail for mailboxes. Its limits are Shaping's "local" (default: 200 messages
	// at a time, by node).
	Store LocalStore
	// Port is the TCP port of MX hosts (default 25).
	Port uint16
	// Client is the template of all connections: Hello, TLSConfig, Timeouts. Address, names and TLS
	// mode are filled in.
	Client smtpclient.Options
	// Sources are the local addresses to send from, in turn, each for peers of its own family;
	// none: the system chooses.
	Sources []netip.Addr

	// Connections bounds the outgoing connections of the node, and with them its goroutines
	// (default 1000).
	Connections int
	// IdleTimeout is how long a connection without work is kept for reuse (default 5s).
	IdleTimeout time.Duration
	// Addresses bounds the addresses that are tried for one connection (default 4).
	Addresses int
	// Lookups bounds the resolver look-ups under way (default 64).
	Lookups int
	// Destinations bounds the destinations in memory; others wait on disk for the rotating scan
	// (default 100000).
	Destinations int
	// Window bounds the items of one destination in memory (default 2000), WindowTotal those of all
	// (default 50000). Both count what is waiting, being attempted or not yet settled.
	Window, WindowTotal int
	// Unsettled bounds the outcomes that the queue has not recorded yet; beyond it no attempt is
	// started (default 20000).
	Unsettled int
	// SiteLabels bounds the sites that Stats names; the rest is "other" (default 100).
	SiteLabels int

	// Shares is this scheduler's part in the limits that hold for the whole cluster. The scheduler
	// starts and closes it. nil: there are no others, so all limits are its own.
	Shares *share.Holder
	// Budget is the memory that all mail of the node shares; nil: none is counted.
	Budget *mail.Budget
	// Owner says whether this node still owns its messages; it is asked before each attempt, and
	// again last before the end of data (architecture.md, promise 2). nil: always.
	Owner func() bool
	// Log takes one record per recipient and event; nil discards them.
	Log maillog.Sink
	// Tracer makes one span per attempt of a sampled message; nil makes none.
	Tracer trace.Tracer
	// Logf writes lines for the operator; nil discards them.
	Logf func(format string, args ...any)
	// Hostname names this node in reports (Reporting-MTA, RFC 3464 2.2.2).
	Hostname string
	// Now is command time (clock.Steady); nil means the wall clock.
	Now func() time.Time
	// Seed makes jitter reproducible; 0 means a random one.
	Seed uint64
}

// Shaping are the limits of one site. Zero means: take it from "default".
type Shaping struct {
	Connections           int  // open connections to the site (default 20)
	MessagesPerConnection int  // transactions on one connection (default 100)
	RecipientsPerMessage  int  // recipients in one transaction (default 100)
	Rate                  Rate // transactions per time; zero is unlimited
	// Scope is ScopeCluster (default) or ScopeNode: whether Connections and Rate hold for all nodes
	// together (Options.Shares).
	Scope string
}

// Scopes of limits.
const (
	ScopeCluster = "cluster"
	ScopeNode    = "node"
)

// Rate is a number of transactions in a time. The zero value is no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

// Backoff says how long a site that cannot be reached is left alone: First, then twice as long each
// time up to Max, and up to a quarter more at random (default 10s, 2h).
type Backoff struct {
	First, Max time.Duration
}

// Route sends what it matches to a smart host instead of the MX. Conditions that are empty match
// everything; all others must match. Globs know * (any run of octets) only; domains and addresses
// are compared without regard to case.
type Route struct {
	Domain    string         // recipient domain, glob
	Recipient string         // recipient address, glob
	Sender    string         // reverse-path, glob; "<>" is the null reverse-path
	Tenant    string         // glob
	Networks  []netip.Prefix // of the client

	// SmartHost is host, host:port or [address]:port; the default port is Options.Port. A path,
	// which begins with "/", is a unix socket.
	SmartHost string
	// LMTP speaks RFC 2033 to the smart host: what it takes is in a mailbox.
	LMTP     bool
	TLS      smtpclient.TLSMode
	Username string // AUTH at the smart host; "" means none
	Password string
}

func def[T int | uint16 | time.Duration](p *T, v T) {
	if *p <= 0 {
		*p = v
	}
}

func (o *Options) setDefaults() {
	def(&o.Port, 25)
	def(&o.Connections, 1000)
	def(&o.IdleTimeout, 5*time.Second)
	def(&o.Addresses, 4)
	def(&o.Lookups, 64)
	def(&o.Destinations, 100_000)
	def(&o.Window, 2000)
	def(&o.WindowTotal, 50_000)
	def(&o.Unsettled, 20_000)
	def(&o.SiteLabels, 100)
	def(&o.Retry.Expire, 5*24*time.Hour)
	def(&o.Backoff.First, 10*time.Second)
	def(&o.Backoff.Max, 2*time.Hour)
	if len(o.Retry.Schedule) == 0 {
		o.Retry.Schedule = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute,
			30 * time.Minute,
			time.Hour, 2 * time.Hour, 4 * time.Hour}
	}
	if o.Owner == nil {
		o.Owner = func() bool { return true }
	}
	if o.Budget == nil {
		o.Budget = mail.NewBudget(math.MaxInt64)
	}
	if o.Log == nil {
		o.Log = maillog.Discard
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// base are the limits where nothing else is configured.
func (o *Options) base() Shaping {
	d := o.Shaping["default"]
	def(&d.Connections, 20)
	def(&d.MessagesPerConnection, 100)
	def(&d.RecipientsPerMessage, 100)
	return d
}
