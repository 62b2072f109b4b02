package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// Default is the embedded default: what `postroad serve` runs without a configuration file, on a
// laptop.
func Default() *Config {
	c := defaults()
	c.complete(nil)
	return c
}

// defaults has every default that does not depend on other keys.
func defaults() *Config {
	host := hostName()
	return &Config{
		Node: Node{Name: host, Hostname: host, DataDir: "./postroad-data"},
		Relay: Relay{Networks: Networks{{netip.MustParsePrefix("127.0.0.0/8")},
			{netip.MustParsePrefix("::1/128")}}},
		Policy: Policy{UnknownRecipients: Rate{1000, time.Hour}},
		Limits: Limits{
			MessageSize:           50 << 20,
			Recipients:            1000,
			Connections:           10000,
			ConnectionsPerNetwork: 200,
			MessagesPerConnection: 100000,
			Errors:                20,
			AuthFailures:          5,
			Hops:                  50,
			IdleTimeout:           Duration(5 * time.Minute),
			MinimumDataRate:       500,
			Memory:                256 << 20,
			FreeDisk:              10,
		},
		Delivery: Delivery{Port: 25, Connections: 1000, MXAddresses: 5, MXSessions: 2},
		Retry: Retry{
			Schedule: durations(time.Minute, 5*time.Minute, 15*time.Minute, 30*time.Minute,
				time.Hour, 2*time.Hour, 4*time.Hour),
			Expire:       Duration(5 * 24 * time.Hour),
			DelayWarning: Duration(4 * time.Hour),
		},
		Admin:  Admin{Address: "127.0.0.1:8025"},
		Events: Events{File: "events.jsonl", Rotate: 100 << 20, Keep: 20},
		LDAP: LDAP{Filter: "(objectClass=inetOrgPerson)", ID: "entryUUID", Address: "mail",
			Interval: Duration(5 * time.Minute)},
		Telemetry: Telemetry{TraceSample: 1, LogFormat: "text"},
		Cluster:   Cluster{Listen: "127.0.0.1:7025", Replicas: 3, MailboxShards: 16},
	}
}

func defaultShaping() Shaping {
	return Shaping{Connections: 20, MessagesPerConnection: 100, RecipientsPerMessage: 100,
		Scope: "cluster"}
}

// localShaping is what the mailboxes here are to bear: messages at a time, where other sites have
// connections.
func localShaping() Shaping {
	return Shaping{Connections: 200, MessagesPerConnection: 1 << 30, RecipientsPerMessage: 1000,
		Scope: "node"}
}

func defaultListeners() []Listener {
	return []Listener{
		{Address: "127.0.0.1:2525", Kind: KindRelay},
		{Address: "127.0.0.1:2587", Kind: KindSubmission},
		{Address: "127.0.0.1:2110", Kind: KindPOP3},
	}
}

// complete fills in the defaults that depend on other keys. where tells which keys the file has;
// nil means none.
func (c *Config) complete(where positions) {
	if !where.has("listener") {
		c.Listeners = defaultListeners()
	}
	for i := range c.Listeners {
		if c.Listeners[i].Kind == "" {
			c.Listeners[i].Kind = KindRelay
		}
		if c.Listeners[i].TLSMin == "" {
			c.Listeners[i].TLSMin = "1.2"
		}
	}
	if !where.has("local.domains") {
		c.Local.Domains = []string{c.Node.Hostname}
	}
	if c.Delivery.Helo == "" {
		c.Delivery.Helo = c.Node.Hostname
	}
	if c.Cluster.Advertise == "" {
		c.Cluster.Advertise = advertised(c.Cluster.Listen, hostName())
	}
	for i := range c.Routes {
		if c.Routes[i].TLS == "" {
			c.Routes[i].TLS = "opportunistic"
		}
		if !where.has(fmt.Sprintf("route[%d].tls_verify", i)) {
			c.Routes[i].TLSVerify = true
		}
		if c.Routes[i].Protocol == "" {
			c.Routes[i].Protocol = "smtp"
		}
	}
	c.completeShaping(where)
}

// completeShaping lets [shaping.default] inherit from the built-in values and all others from it.
func (c *Config) completeShaping(where positions) {
	all := make(map[string]Shaping, len(c.Shaping)+1)
	all["default"] = c.Shaping["default"].inherit(where, "default", defaultShaping())
	for name, s := range c.Shaping {
		switch name {
		case "default":
		case "local":
			all[name] = s.inherit(where, name, localShaping())
		default:
			all[name] = s.inherit(where, name, all["default"])
		}
	}
	c.Shaping = all
}

// inherit takes from base what the file does not say. Whether it says something cannot be seen from
// the value: a rate of "" is an answer, too.
func (s Shaping) inherit(where positions, name string, base Shaping) Shaping {
	said := func(key string) bool { return where.has(join("shaping", quoteKey(name), key)) }
	if !said("connections") {
		s.Connections = base.Connections
	}
	if !said("messages_per_connection") {
		s.MessagesPerConnection = base.MessagesPerConnection
	}
	if !said("recipients_per_message") {
		s.RecipientsPerMessage = base.RecipientsPerMessage
	}
	if !said("rate") {
		s.Rate = base.Rate
	}
	if !said("scope") {
		s.Scope = base.Scope
	}
	return s
}

// advertised is where other nodes find a node that listens there: on every address of the machine,
// it is the host name that they know. Nodes that differ in nothing else, as containers do, so have
// one configuration.
func advertised(listen, name string) string {
	host, port := splitPort(listen)
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return net.JoinHostPort(name, port)
	}
	return listen
}

// hostName is the machine's name, or "localhost" when it has none that may stand in an SMTP
// command.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || checkDomain(name) != "" {
		return "localhost"
	}
	return name
}

func durations(ds ...time.Duration) []Duration {
	out := make([]Duration, len(ds))
	for i, d := range ds {
		out[i] = Duration(d)
	}
	return out
}
