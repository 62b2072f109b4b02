package delivery

import (
	"math"
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
	Settings // what Configure may change later

	Backoff Backoff
	// Local says whether a domain's mail is for mailboxes here; it must not block. Such mail goes
	// to Store, unless the route that it matches says a domain or a recipient: routes without are
	// for other people's mail. nil: there are no mailboxes.
	Local func(domain string) bool
	// Store takes the mail for mailboxes. Its limits are Shaping's "local" (default: 200 messages
	// at a time, by node).
	Store LocalStore
	// Client is the template of all connections: TLSConfig, Timeouts. Address, names, Hello and TLS
	// mode are filled in.
	Client smtpclient.Options

	// IdleTimeout is how long a connection without work is kept for reuse (default 5s).
	IdleTimeout time.Duration
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

// Backoff says how long a site that cannot be reached is left alone: First, then twice as long each
// time up to Max, and up to a quarter more at random (default 10s, 2h).
type Backoff struct {
	First, Max time.Duration
}

func def[T int | uint16 | time.Duration](p *T, v T) {
	if *p <= 0 {
		*p = v
	}
}

func (o *Options) setDefaults() {
	o.Settings.setDefaults()
	def(&o.IdleTimeout, 5*time.Second)
	def(&o.Lookups, 64)
	def(&o.Destinations, 100_000)
	def(&o.Window, 2000)
	def(&o.WindowTotal, 50_000)
	def(&o.Unsettled, 20_000)
	def(&o.SiteLabels, 100)
	def(&o.Backoff.First, 10*time.Second)
	def(&o.Backoff.Max, 2*time.Hour)
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
