package delivery

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/queue"
)

// noRoute is the number of no route: MX.
const noRoute = -1

// route is a Route made ready.
type route struct {
	Route
	host   string // as the resolver takes it
	port   uint16
	name   string    // of the site
	key    string    // of the site: protocol, credentials and TLS included
	socket *mx.Route // where the smart host is a socket: nothing is looked up
	static bool      // only the domain decides
	named  bool      // it says a domain or a recipient: it is for local domains, too
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
func compileRoutes(o *Options) ([]route, error) {
	rs := make([]route, 0, len(o.Routes))
	for i, r := range o.Routes {
		host, port, socket, err := hostOf(r.SmartHost, o.Port)
		if err != nil {
			return nil, fmt.Errorf("route %d: smart host %q: %w", i+1, r.SmartHost, err)
		}
		r.Domain, r.Recipient, r.Sender = strings.ToLower(r.Domain), strings.ToLower(r.Recipient),
			strings.ToLower(r.Sender)
		name := net.JoinHostPort(host, strconv.Itoa(int(port)))
		if socket != nil {
			name = r.SmartHost
		}
		rs = append(rs, route{
			Route: r, host: host, port: port, name: name, socket: socket,
			key: fmt.Sprintf("%s\x00%t\x00%d\x00%s\x00%s", name, r.LMTP, r.TLS, r.Username,
				r.Password),
			named:  r.Domain != "" || r.Recipient != "",
			static: r.Recipient == "" && r.Sender == "" && r.Tenant == "" && len(r.Networks) == 0,
		})
	}
	return rs, nil
}

// hostOf takes a smart host apart: what splitHostPort takes, or the path of a socket.
func hostOf(s string, port uint16) (host string, _ uint16, socket *mx.Route, err error) {
	if strings.HasPrefix(s, "/") {
		return "", 0, &mx.Route{Site: s}, nil
	}
	host, port, err = splitHostPort(s, port)
	return host, port, nil, err
}

// splitHostPort takes host, host:port, address, [address] and [address]:port.
func splitHostPort(s string, port uint16) (string, uint16, error) {
	if s == "" {
		return "", 0, fmt.Errorf("empty")
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.String(), port, nil
	}
	if !strings.Contains(s, ":") {
		return strings.ToLower(s), port, nil
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, fmt.Errorf("want host:port with a port of 1 to 65535")
	}
	return strings.ToLower(host), uint16(n), nil
}

// routeAt returns a route by its number, nil for noRoute.
func (c *core) routeAt(n int) *route {
	if n == noRoute {
		return nil
	}
	return &c.routes[n]
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
	if !c.byRecipient {
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
	for i := range c.routes {
		if c.routes[i].matches(domain, env, recipient) {
			return i
		}
	}
	return noRoute
}

// routeOfDomain guesses the route of a domain whose items are not known.
func (c *core) routeOfDomain(domain string) int {
	for i := range c.routes {
		if r := &c.routes[i]; r.static && glob(r.Domain, domain) {
			return i
		}
	}
	return noRoute
}

func (r *route) matches(domain string, env *mail.Envelope, recipient uint32) bool {
	if r.Domain != "" && !glob(r.Domain, domain) {
		return false
	}
	if r.static {
		return true
	}
	return (r.Recipient == "" ||
		glob(r.Recipient, strings.ToLower(env.Recipients[recipient].Address))) &&
		(r.Sender == "" || r.fromSender(env.Sender)) &&
		(r.Tenant == "" || glob(r.Tenant, env.Origin.Tenant)) &&
		(len(r.Networks) == 0 || r.fromNetwork(env.Origin.Client.Addr()))
}

func (r *route) fromSender(sender string) bool {
	if sender == "" {
		return r.Sender == "<>"
	}
	return glob(r.Sender, strings.ToLower(sender))
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
func (r *route) hop(o *Options) hop {
	if r == nil {
		return hop{port: o.Port}
	}
	h := hop{port: r.port, lmtp: r.LMTP, tls: r.TLS, user: r.Username, password: r.Password}
	if r.socket != nil {
		h.socket = r.SmartHost
	}
	return h
}

// glob reports whether s matches pattern, in which * stands for any run of octets; "" matches
// everything. It takes time in proportion to the product of the lengths at most.
func glob(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	star, mark, p, i := -1, 0, 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// shapeFor returns the limits for a domain at the hosts of a route, and whether they are the
// domain's own.
func (c *core) shapeFor(domain string, hosts *mx.Route) (s Shaping, own bool) {
	if s = c.base; hosts == home {
		s = c.o.localShape()
	}
	if o, ok := c.o.Shaping[domain]; ok && domain != LocalSite {
		return s.overlay(o), true
	}
	best := ""
	for name := range c.o.Shaping {
		if len(name) > len(best) && name != "default" && name != LocalSite &&
			underSuffix(hosts, name) {
			best = name
		}
	}
	if best != "" {
		s = s.overlay(c.o.Shaping[best])
	}
	return s, false
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

// overlay returns s with the fields of o that are set.
func (s Shaping) overlay(o Shaping) Shaping {
	set := func(p *int, v int) {
		if v > 0 {
			*p = v
		}
	}
	set(&s.Connections, o.Connections)
	set(&s.MessagesPerConnection, o.MessagesPerConnection)
	set(&s.RecipientsPerMessage, o.RecipientsPerMessage)
	if o.Rate.Count > 0 {
		s.Rate = o.Rate
	}
	if o.Scope != "" {
		s.Scope = o.Scope
	}
	return s
}

// setRoutes makes the configured routes ready.
func (c *core) setRoutes() (err error) {
	c.routes, err = compileRoutes(c.o)
	for i := range c.routes {
		c.byRecipient = c.byRecipient || c.routes[i].Recipient != ""
	}
	return err
}
