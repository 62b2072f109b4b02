package delivery

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/delivery/smtpclient"
)

// Settings are the part of Options that Configure may change while the scheduler runs. The zero
// value of a field means its default. Whoever has handed them over does not change them any more.
type Settings struct {
	// Routes are tried in order for each recipient; the first match wins, no match means MX.
	Routes []Route
	// Shaping holds the limits per site: "default", "local", and by recipient domain or by MX
	// suffix. The domain itself wins over an MX suffix, a longer suffix over a shorter one. Fields
	// that are zero there are taken from "default".
	Shaping map[string]Shaping
	Retry   Retry
	// Port is the TCP port of MX hosts (default 25).
	Port uint16
	// Hello is our name in EHLO.
	Hello string
	// Sources are the local addresses to send from, in turn, each for peers of its own family;
	// none: the system chooses.
	Sources []netip.Addr
	// Connections bounds the outgoing connections of the node, and with them its goroutines
	// (default 1000).
	Connections int
	// Sessions bounds the hosts to which one attempt goes (default 2).
	Sessions int
	// Addresses bounds the addresses that are tried for one connection (default mx.DefaultTargets).
	Addresses int
}

// Shaping are the limits of one site, and Rate is one of them.
type (
	Shaping = shaping.Limits
	Rate    = shaping.Rate
)

// Route says where what it matches goes instead of the MX, or how it goes there. Conditions that
// are empty match everything; all others must match. Globs know * (any run of octets) only; domains
// and addresses are compared without regard to case.
type Route struct {
	Domain    string         // recipient domain, glob
	Recipient string         // recipient address, glob
	Sender    string         // reverse-path, glob; "<>" is the null reverse-path
	Tenant    string         // glob
	Networks  []netip.Prefix // of the client

	// SmartHost is host, host:port or [address]:port; the default port is Options.Port. A path,
	// which begins with "/", is a unix socket. Empty: the MX, by this route's TLS.
	SmartHost string
	// LMTP speaks RFC 2033 to the smart host: what it takes is in a mailbox.
	LMTP     bool
	TLS      smtpclient.TLSMode
	Username string // AUTH at the smart host; "" means none
	Password string
}

// Check says what is wrong with the settings. What it lets pass Configure takes.
func (o Settings) Check() error {
	_, err := o.compile()
	return err
}

func (o *Settings) setDefaults() {
	def(&o.Port, 25)
	def(&o.Connections, 1000)
	def(&o.Sessions, 2)
	def(&o.Retry.Expire, 5*24*time.Hour)
	if len(o.Retry.Schedule) == 0 {
		o.Retry.Schedule = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute,
			30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}
	}
}

// settings are Settings made ready. They never change: what is in force is replaced as a whole, and
// what began under one goes by it to its end.
type settings struct {
	Settings
	routes      []route
	byRecipient bool // some route tells recipients of one domain apart
	shapes      *shaping.Set
	way         *way // another one: connections are opened differently
}

// way is how connections are opened for a time.
type way struct {
	ctx context.Context // ends when there is another: what is being opened then is given up
	end context.CancelFunc
}

func newWay(ctx context.Context) *way {
	w := &way{}
	w.ctx, w.end = context.WithCancel(ctx)
	return w
}

// compile checks the settings and makes them ready.
func (o Settings) compile() (*settings, error) {
	o.setDefaults()
	for _, d := range o.Retry.Schedule {
		if d <= 0 {
			return nil, fmt.Errorf("retry: a pause of %v", d)
		}
	}
	shapes, err := shaping.NewSet(o.Shaping)
	if err != nil {
		return nil, err
	}
	routes, err := compileRoutes(&o)
	if err != nil {
		return nil, err
	}
	s := &settings{Settings: o, routes: routes, shapes: shapes}
	s.Shaping, s.Sources = nil, slices.Clone(o.Sources)
	s.Retry.Schedule = slices.Clone(o.Retry.Schedule)
	for i := range routes {
		s.byRecipient = s.byRecipient || routes[i].Recipient != ""
	}
	return s, nil
}

// shape returns the limits of a site: those of the domain that has its own, or what the hosts are
// under.
func (s *settings) shape(own string, hosts *mx.Route) Shaping {
	return s.shapes.Of(shaping.Site{Domain: own, Local: hosts == home,
		Under: func(suffix string) bool { return underSuffix(hosts, suffix) }})
}
