package smtpd

import (
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/message"
	"github.com/postroad/postroad/internal/smtp"
)

// Options of a Server. They do not change while it runs, but for the Settings.
type Options struct {
	// Engine runs the connections. Required; it may be shared with other protocols.
	Engine *eventloop.Engine
	// Hostname is the name in the greeting, in EHLO replies and in Received fields. Required.
	Hostname string
	// Policy, Authenticator and Submitter are who decides, who checks log-ins, and who takes the
	// mail. Policy and Submitter are required; without an Authenticator AUTH is not offered.
	Policy        Policy
	Authenticator Authenticator
	Submitter     Submitter
	// TLS gives the present configuration for STARTTLS and for submissions listeners; it is asked
	// once per handshake, so that a renewed certificate is used at once. nil, or a nil result: TLS
	// is not offered.
	TLS func() *tls.Config
	// Budget bounds the memory that mail on its way in takes. When it is exhausted the answer is
	// 452 4.3.1. nil: 256 MiB of its own.
	Budget *mail.Budget
	// SpillDir is where messages above Limits.InMemory go on their way in; "" is the system's
	// directory for temporary files.
	SpillDir string
	// Pressure says why no new message can be taken now (free disk, memory, no quorum); nil, or a
	// nil result: it can. It is asked at MAIL and must not block.
	Pressure func() *smtp.Failure
	// Space is the room on the disk, of which each message takes its part before it is stored. When
	// there is none the answer is 452 4.3.1: before the data for a SIZE above Limits.InMemory, else
	// after it. nil: there is always room.
	Space *inbound.Space
	// Log hears of receptions and rejections; nil: nobody.
	Log maillog.Sink
	// Took hears how long each message that was accepted has waited for its 250, from the end of
	// its data. It is called on event loops. nil: nobody.
	Took func(time.Duration)
	// Trusted clients are exempt from Limits.ConnectionsPerNetwork and from GreetingDelay; nil:
	// nobody is.
	Trusted func(netip.Addr) bool
	// Watch returns who reads a message while it arrives; nil, or a nil result: nobody does. It
	// must not block.
	Watch func(*mail.Origin) mail.Watcher
	// GreetingDelay holds the greeting of relay listeners back, to find clients that do not wait
	// for it; 0: none.
	GreetingDelay time.Duration
	// EarlyPipelining lets clients send more before they have seen the replies to EHLO and DATA
	// (against RFC 2920 3.1).
	EarlyPipelining bool
	// Settings are those of the start.
	Settings
}

// Settings may change while a Server runs (Server.Configure).
type Settings struct {
	// CampaignHeader names the header field whose value goes to Origin.Campaign; the field is taken
	// out of the message. "": none.
	CampaignHeader string
	Limits         Limits
}

// settings are Settings in force, which nobody changes.
type settings struct {
	Settings
	ehloReply string // the lines whose offer does not change during a session
}

// Limits of sessions. The zero value of a field means its default; what happens when a limit is
// reached is said with it.
type Limits struct {
	MessageSize int64 // octets of a message, trace header aside; default 50 MiB; 552 5.3.4
	InMemory    int64 // octets of a message above which it goes to a spill file; default 1 MiB
	Received    int   // Received fields of a message; default 50; 554 5.4.6

	Recipients         int // of one transaction; default 1000; 452 4.5.3
	RecipientOvershoot int // RCPT commands refused for that reason before 421 4.7.0; default 1000
	Transactions       int // MAIL commands of one connection; default 100,000; 421 4.7.0

	// commands that move no mail (NOOP, RSET, VRFY...) since the last message; default 100; 421
	// 4.7.0
	Junk int
	// refused commands since the last message before each further refusal is slow; default 10
	SoftErrors int
	HardErrors int           // the same before 421 4.7.0; default 20
	ErrorDelay time.Duration // how slow; default 1 s
	// failed log-ins of one connection before 421 4.7.0, each slow; default 5
	AuthFailures int

	// of connections, Trusted ones' networks aside; 421 4.3.2 beyond those of the server, 421 4.7.0
	// beyond those of a network
	inbound.Limits

	// for each whole command; default 5 min (RFC 5321 4.5.3.2.7); 421 4.4.2
	CommandTimeout time.Duration
	DataTimeout    time.Duration // without an octet of mail data; default 5 min; 421 4.4.2
	// octets of mail data a second on the whole, after a first DataTimeout; default 500; 421 4.4.2
	MinRate int
}

// ListenerOptions say how the connections of one listener are treated.
type ListenerOptions struct {
	Name   string // for Client.Listener and Origin.Listener; default: the address
	Kind   Kind
	Tenant string // of mail that no authenticated user submits
	// LoginDomain is added to log-in names without a domain; "": they are as they are.
	LoginDomain string
	// CompleteDomain, in routing form, is added to addresses without a domain of those whom the
	// policy trusts; "": such addresses are refused.
	CompleteDomain string
	// TLS is Options.TLS for this listener; nil: that one.
	TLS func() *tls.Config
	// ProxyFrom lists the balancers whose connections begin with a PROXY header, v1 or v2. From
	// these it is required, from others refused.
	ProxyFrom []netip.Prefix
	// AllowPlainAuth offers AUTH without TLS, and on a submission listener does not insist on TLS.
	AllowPlainAuth bool
	// MaxLine is how many octets a line of a message may have; 554 5.6.0 beyond, and BINARYMIME has
	// no lines. RFC 5322 2.1.1 has senders keep to 998, and receivers take more: real programs do
	// not all keep to it. Default 1 MiB, for those after us that hold a line in memory; 998 is the
	// least.
	MaxLine int
}

// defaultMaxLine is the default of ListenerOptions.MaxLine.
const defaultMaxLine = 1 << 20

// maxLine returns MaxLine or its default.
func (o *ListenerOptions) maxLine() int {
	if o.MaxLine <= 0 {
		return defaultMaxLine
	}
	return max(o.MaxLine, smtp.MaxTextLine)
}

func (o Options) withDefaults() Options {
	if o.Budget == nil {
		o.Budget = mail.NewBudget(256 << 20)
	}
	if o.Log == nil {
		o.Log = maillog.Discard
	}
	if o.Took == nil {
		o.Took = func(time.Duration) {}
	}
	if o.TLS == nil {
		o.TLS = func() *tls.Config { return nil }
	}
	if o.Pressure == nil {
		o.Pressure = func() *smtp.Failure { return nil }
	}
	if o.Trusted == nil {
		o.Trusted = func(netip.Addr) bool { return false }
	}
	return o
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.MessageSize, 50<<20)
	orDefault(&l.InMemory, 1<<20)
	orDefault(&l.Received, message.MaxReceived)
	orDefault(&l.Recipients, 1000)
	orDefault(&l.RecipientOvershoot, 1000)
	orDefault(&l.Transactions, 100_000)
	orDefault(&l.Junk, 100)
	orDefault(&l.SoftErrors, 10)
	orDefault(&l.HardErrors, 20)
	orDefault(&l.ErrorDelay, time.Second)
	orDefault(&l.AuthFailures, 5)
	orDefault(&l.CommandTimeout, 5*time.Minute)
	orDefault(&l.DataTimeout, 5*time.Minute)
	orDefault(&l.MinRate, 500)
	return l
}

func orDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
