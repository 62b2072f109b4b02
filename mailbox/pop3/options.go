package pop3

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
)

// Options of a Server. They do not change while it runs, but for the Limits.
type Options struct {
	// Engine runs the connections. Required; it may be shared with other protocols.
	Engine *eventloop.Engine
	// Hostname is the name in the greeting. Required.
	Hostname string
	// Maildrops are what is served, Authenticator checks log-ins. Required.
	Maildrops     Maildrops
	Authenticator Authenticator
	// TLS gives the present configuration for STLS and for listeners with TLS from the first octet;
	// it is asked once per handshake. nil, or a nil result: TLS is not offered.
	TLS func() *tls.Config
	// Budget bounds the memory of the listings of open maildrops, 8 octets a message. When it is
	// exhausted a log-in is answered with [SYS/TEMP]. nil: 256 MiB of its own.
	Budget *mail.Budget
	// Ended hears of each session that had logged in, when it has ended; nil: nobody. It is called
	// on event loops and must not block.
	Ended func(*Ended)
	// Log gets a record of each log-in that is refused; default: nowhere.
	Log maillog.Sink
	// Trusted clients are exempt from Limits.ConnectionsPerNetwork; nil: nobody is.
	Trusted func(netip.Addr) bool
	// Calls are the calls of Maildrops at once that wait for others (locks, removals); what is more
	// waits; default 512.
	Calls int
	// Reads are the calls of Maildrops at once that take memory (listings, contents); what is more
	// waits; default 32.
	Reads int
	// Limits are those of the start.
	Limits Limits
}

// Limits of sessions. The zero value of a field means its default; what happens when a limit is
// reached is said with it. They may change while a Server runs (Server.Configure).
type Limits struct {
	// refused commands in a row before each further refusal is slow; default 10
	SoftErrors int
	HardErrors int           // the same before the end; default 20
	ErrorDelay time.Duration // how slow; default 1 s
	// failed log-ins of one connection before the end, each slow; default 5
	AuthFailures int
	// commands before the log-in that do not log in; default 100; then the end
	Junk int

	inbound.Limits // of connections, Trusted ones' networks aside; -ERR [SYS/TEMP] and the end

	// for each whole command before the log-in; default 3 min; -ERR and the end
	LoginTimeout time.Duration
	// without a whole command, or without taking what was sent; default 10 min (RFC 1939 3); -ERR
	// and the end, deleting nothing
	IdleTimeout time.Duration
	// a lock that is not renewed for so long is lost, as the Maildrops have it; default 1 min
	LockFor     time.Duration
	CallTimeout time.Duration // for one call of Maildrops; default 30 s; -ERR [SYS/TEMP]
}

// ListenerOptions say how the connections of one listener are treated.
type ListenerOptions struct {
	Name string // default: the address
	// Implicit TLS from the first octet (pop3s, RFC 8314).
	Implicit bool
	// ProxyFrom lists the balancers whose connections begin with a PROXY header, v1 or v2. From
	// these it is required, from others refused.
	ProxyFrom []netip.Prefix
	// AllowPlainAuth lets clients log in without TLS.
	AllowPlainAuth bool
	// Authenticator and TLS are those of Options for this listener; nil: those.
	Authenticator Authenticator
	TLS           func() *tls.Config
}

// Ended is what became of a session.
type Ended struct {
	User      string
	Client    netip.AddrPort
	TLS       bool
	Retrieved int   // messages, whole ones
	Octets    int64 // of those messages
	Removed   int   // messages
	Left      int   // messages
	Why       string
}

func (o Options) withDefaults() Options {
	if o.TLS == nil {
		o.TLS = func() *tls.Config { return nil }
	}
	if o.Budget == nil {
		o.Budget = mail.NewBudget(256 << 20)
	}
	if o.Ended == nil {
		o.Ended = func(*Ended) {}
	}
	if o.Log == nil {
		o.Log = maillog.Discard
	}
	if o.Trusted == nil {
		o.Trusted = func(netip.Addr) bool { return false }
	}
	o.Calls = cmp.Or(o.Calls, 512)
	o.Reads = cmp.Or(o.Reads, 32)
	return o
}

func (l Limits) withDefaults() Limits {
	l.SoftErrors = cmp.Or(l.SoftErrors, 10)
	l.HardErrors = cmp.Or(l.HardErrors, 20)
	l.ErrorDelay = cmp.Or(l.ErrorDelay, time.Second)
	l.AuthFailures = cmp.Or(l.AuthFailures, 5)
	l.Junk = cmp.Or(l.Junk, 100)
	l.LoginTimeout = cmp.Or(l.LoginTimeout, 3*time.Minute)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, 10*time.Minute)
	l.LockFor = cmp.Or(l.LockFor, time.Minute)
	l.CallTimeout = cmp.Or(l.CallTimeout, 30*time.Second)
	return l
}
