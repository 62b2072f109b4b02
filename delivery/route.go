package delivery

import (
	"fmt"
	"iter"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/glob"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/queue"
)

// noRoute is the number of no route: MX.
const noRoute = -1

// route is a Route made ready.
type route struct {
	Route
	id int // its number, which no other route had before it
	// all that it says, default port included: the same of two routes that do the same
	identity string
	host     string // as the resolver takes it
	port     uint16
	name     string    // of the site
	key      string    // of the site: protocol, credentials and TLS included
	socket   *mx.Route // where the smart host is a socket: nothing is looked up
	mx       bool      // no smart host: as without a route, but by its TLS
	static   bool      // only the domain decides
	named    bool      // to a smart host, of a domain or a recipient: for local domains, too
}

// hop is how a site is reached.
type hop struct {
	port           uint16
	socket         string // a path; then there is no address
	lmtp           bool
	tls            smtpclient.TLSMode
	user, password string
}

// compileRoutes checks the routes.
func compileRoutes(o *Settings) ([]route, error) {
	rs := make([]route, 0, len(o.Routes))
	for i, r := range o.Routes {
		host, port, socket, err := hostOf(r.SmartHost, o.Port)
		if err != nil {
			return nil, fmt.Errorf("route %d: smart host %q: %w", i+1, r.SmartHost, err)
		}
		r.Domain, r.Recipient, r.Sender = smtp.DomainPattern(r.Domain),
			smtp.AddressPattern(r.Recipient), smtp.AddressPattern(r.Sender)
		name := net.JoinHostPort(host, strconv.Itoa(int(port)))
		switch {
		case socket != nil:
			name = r.SmartHost
		case r.SmartHost == "":
			name = ""
		}
		rs = append(rs, route{
			Route: r, host: host, port: port, name: name, socket: socket,
			mx: r.SmartHost == "",
			key: fmt.Sprintf("%s\x00%t\x00%d\x00%s\x00%s", name, r.LMTP, r.TLS, r.Username,
				r.Password),
			identity: fmt.Sprintf("%q %q %q %q %v %q %d %t %d %q %q", r.Domain, r.Recipient,
				r.Sender, r.Tenant, r.Networks, r.SmartHost, port, r.LMTP, r.TLS, r.Username,
				r.Password),
			named:  r.SmartHost != "" && (r.Domain != "" || r.Recipient != ""),
			static: r.Recipient == "" && r.Sender == "" && r.Tenant == "" && len(r.Networks) == 0,
		})
	}
	return rs, nil
}

// hostOf takes a smart host apart: what splitHostPort takes, the path of a socket, or nothing.
func hostOf(s string, port uint16) (host string, _ uint16, socket *mx.Route, err error) {
	switch {
	case s == "":
		return "", port, nil, nil
	case strings.HasPrefix(s, "/"):
		return "", 0, &mx.Route{Site: s}, nil
	}
	host, port, err = splitHostPort(s, port)
	return host, port, nil, err
}

// splitHostPort takes host, host:port, address, [address] and [address]:port.
func splitHostPort(s string, port uint16) (string, uint16, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.String(), port, nil
	}
	if !strings.Contains(s, ":") {
		return smtp.DomainPattern(s), port, nil
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("want host:port with a port of 1 to 65535")
	}
	return smtp.DomainPattern(host), uint16(n), nil
}

// routeAt returns a route by its number, nil for noRoute and for one that is gone.
func (c *core) routeAt(n int) *route {
	for i := range c.set.routes {
		if r := &c.set.routes[i]; r.id == n {
			return r
		}
	}
	return nil
}

// of goes through the destinations of a domain: there may be one of each route.
func (c *core) of(domain string) iter.Seq[*destination] {
	return func(yield func(*destination) bool) {
		if d := c.dests[destKey{domain, noRoute}]; d != nil && !yield(d) {
			return
		}
		for i := range c.set.routes {
			d := c.dests[destKey{domain, c.set.routes[i].id}]
			if d != nil && !yield(d) {
				return
			}
		}
	}
}

// part is the share of an item that goes one route.
type part struct {
	route      int
	recipients []uint32
}

// split returns an item's recipients by route. The slice is valid until the next call.
func (c *core) split(it *queue.Item) []part {
	env := it.Message.Envelope
	c.parts = c.parts[:0]
	if !c.set.byRecipient {
		c.parts = append(c.parts, part{c.routeOf(it.Domain, env, it.Recipients[0]), it.Recipients})
		return c.parts
	}
next:
	for _, r := range it.Recipients {
		n := c.routeOf(it.Domain, env, r)
		for i := range c.parts {
			if c.parts[i].route == n {
				c.parts[i].recipients = append(c.parts[i].recipients, r)
				continue next
			}
		}
		c.parts = append(c.parts, part{n, []uint32{r}})
	}
	return c.parts
}

// routeOf returns the number of the first route that matches.
func (c *core) routeOf(domain string, env *mail.Envelope, recipient uint32) int {
	for i := range c.set.routes {
		if r := &c.set.routes[i]; r.matches(domain, env, recipient) {
			return r.id
		}
	}
	return noRoute
}

// routeOfDomain guesses the route of a domain whose items are not known.
func (c *core) routeOfDomain(domain string) int {
	for i := range c.set.routes {
		if r := &c.set.routes[i]; r.static && glob.Match(r.Domain, domain) {
			return r.id
		}
	}
	return noRoute
}

func (r *route) matches(domain string, env *mail.Envelope, recipient uint32) bool {
	if r.Domain != "" && !glob.Match(r.Domain, domain) {
		return false
	}
	if r.static {
		return true
	}
	return (r.Recipient == "" ||
		glob.Match(r.Recipient, smtp.AddressPattern(env.Recipients[recipient].Address))) &&
		(r.Sender == "" || r.fromSender(env.Sender)) &&
		(r.Tenant == "" || glob.Match(r.Tenant, env.Origin.Tenant)) &&
		(len(r.Networks) == 0 || r.fromNetwork(env.Origin.Client.Addr()))
}

func (r *route) fromSender(sender string) bool {
	if sender == "" {
		return r.Sender == "<>"
	}
	return glob.Match(r.Sender, smtp.AddressPattern(sender))
}

func (r *route) fromNetwork(a netip.Addr) bool {
	for _, p := range r.Networks {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// hop says how the route's site is reached; without a route, by MX.
func (r *route) hop(o *settings) hop {
	if r == nil {
		return hop{port: o.Port}
	}
	h := hop{port: r.port, lmtp: r.LMTP, tls: r.TLS, user: r.Username, password: r.Password}
	if r.socket != nil {
		h.socket = r.SmartHost
	}
	return h
}

// underSuffix reports whether all hosts lie under a domain.
func underSuffix(r *mx.Route, suffix string) bool {
	for _, h := range r.Hosts {
		if h.Name != suffix && !strings.HasSuffix(h.Name, "."+suffix) {
			return false
		}
	}
	return len(r.Hosts) > 0
}
