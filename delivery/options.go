package delivery

import (
	"net/netip"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
)

// Options configure a Scheduler. The zero value of a field means its default, unless the field says otherwise.
type Options struct {
	// Routes are tried in order for each recipient; the first match wins, no match means MX.
	Routes []Route
	// Shaping holds the limits per site: "default", and by domain or by MX suffix. A domain of its own wins over an MX suffix,
	// the longest suffix wins over shorter ones. Fields that are zero there are taken from "default".
	Shaping map[string]Shaping
	Retry   Retry
	Backoff Backoff
	// Port is the TCP port of MX hosts (default 25).
	Port uint16

	// Connections bounds the outgoing connections of the node, and with them its goroutines (default 1000).
	Connections int
	// IdleTimeout is how long a connection without work is kept for reuse (default 5s).
	IdleTimeout time.Duration
	// Addresses bounds the addresses that are tried for one connection (default 4).
	Addresses int
	// Lookups bounds the resolver look-ups under way (default 64).
	Lookups int
	// Destinations bounds the destinations in memory; others wait on disk for the rotating sweep (default 100000).
	Destinations int
	// Window bounds the items of one destination in memory (default 2000), WindowTotal those of all (default 50000). Both count what is
	// waiting, being attempted or not yet settled.
	Window, WindowTotal int
	// Unsettled bounds the outcomes that the queue has not settled yet; beyond it no attempt is started (default 20000).
	Unsettled int
	// Grace is how long transactions under way may go on after Shutdown began (default 30s).
	Grace time.Duration
	// SiteLabels bounds the sites that have a label of their own in the metrics; the rest is "other" (default 100).
	SiteLabels int

	// Budget is the memory that all mail of the node shares; nil means none is counted.
	Budget *mail.Budget
	// Owner says whether this node still owns its messages; it is asked before an attempt and last before the end of data
	// (architecture.md, promise 2). nil means always.
	Owner func() bool
	// Log takes one record per recipient and event; nil discards them.
	Log maillog.Sink
	// Tracer makes one span per attempt of a sampled message; nil makes none.
	Tracer trace.Tracer
	// Logf writes lines for the operator; nil discards them.
	Logf func(format string, args ...any)
	// Hostname names this node in reports (Reporting-MTA, RFC 3464 2.2.2).
	Hostname string
	// Now is command time; nil means the wall clock. Use clock.Steady's.
	Now func() time.Time
}

// Shaping are the limits of one site. Zero means: take it from "default".
type Shaping struct {
	Connections           int  // open connections to the site (default 20)
	MessagesPerConnection int  // transactions on one connection (default 100)
	RecipientsPerMessage  int  // recipients in one transaction (default 100)
	Rate                  Rate // transactions per time; zero is unlimited
	// Scope is "cluster" (default) or "node". On one node both are the same.
	Scope string
}

// Rate is a number of transactions in a time. The zero value is no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

// Retry says when a recipient is tried again.
type Retry struct {
	// Schedule holds the waiting times after the first, second ... failed attempt; the last repeats
	// (default 1m 5m 15m 30m 1h 2h 4h). Up to an eighth is added or taken at random, so that what failed together does not return together.
	Schedule []time.Duration
	// Expire is the age at which a recipient is given up (default 5d, RFC 5321 4.5.4.1 asks for 4-5 days).
	Expire time.Duration
	// DelayWarning is the age at which the sender is told of a delay; 0 means never.
	DelayWarning time.Duration
}

// Backoff says how long a site that cannot be reached is left alone: First, then twice as long each time up to Max, up to
// a quarter more at random (default 10s, 2h).
type Backoff struct {
	First, Max time.Duration
}

// Route sends what it matches to a smart host instead of the MX. Conditions that are empty match everything; all others must match.
type Route struct {
	Domain    string         // recipient domain, a glob where * stands for any run of octets
	Recipient string         // recipient address, glob
	Sender    string         // reverse-path, glob; "<>" is the null reverse-path
	Tenant    string         // glob
	Networks  []netip.Prefix // of the client

	SmartHost string // host, host:port or [address]:port; the default port is 25
	TLS       TLSMode
	Username  string // AUTH at the smart host; "" means none
	Password  string
}

// TLSMode says what a connection does about STARTTLS (RFC 3207).
type TLSMode uint8

const (
	TLSOpportunistic TLSMode = iota // when offered; any certificate will do
	TLSRequire                      // or no delivery; the certificate must verify
	TLSOff
)
