package node

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/delivery/shaping"
	"github.com/postroad/postroad/delivery/smtpclient"
	"github.com/postroad/postroad/internal/certs"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/inbound"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/smtp"
	"github.com/postroad/postroad/mailbox/pop3"
	"github.com/postroad/postroad/operate/admin"
	"github.com/postroad/postroad/policy"
	"github.com/postroad/postroad/smtpd"
)

// This file says what the configuration means for each part.

func prefixes(ns config.Networks) []netip.Prefix {
	ps := make([]netip.Prefix, len(ns))
	for i, n := range ns {
		ps[i] = n.Prefix
	}
	return ps
}

func rulesOf(c *config.Config) policy.Rules {
	return policy.Rules{
		Networks: prefixes(c.Relay.Networks), LocalDomains: c.Local.Domains,
		RelayDomains: c.Relay.Domains,
		Postmaster:   c.Local.Postmaster, Hostname: c.Node.Hostname,
		Messages:   policy.Rate(c.Policy.UserMessages),
		Recipients: policy.Rate(c.Policy.UserRecipients),
		Unknown:    policy.Rate(c.Policy.UnknownRecipients),
	}
}

func smtpOf(c *config.Config) smtpd.Settings {
	l := c.Limits
	return smtpd.Settings{CampaignHeader: c.Policy.CampaignHeader, Limits: smtpd.Limits{
		MessageSize: int64(l.MessageSize), Received: l.Hops, Recipients: l.Recipients,
		Transactions: orMany(l.MessagesPerConnection),
		HardErrors:   l.Errors, SoftErrors: max(1, l.Errors/2), AuthFailures: l.AuthFailures,
		Limits:         clientLimits(c),
		CommandTimeout: time.Duration(l.IdleTimeout), DataTimeout: time.Duration(l.IdleTimeout),
		MinRate: int(l.MinimumDataRate),
	}}
}

func pop3LimitsOf(c *config.Config) pop3.Limits {
	l := c.Limits
	return pop3.Limits{
		HardErrors: l.Errors, SoftErrors: max(1, l.Errors/2), AuthFailures: l.AuthFailures,
		Limits:      clientLimits(c),
		IdleTimeout: max(time.Duration(l.IdleTimeout), 10*time.Minute), // RFC 1939 3: at least
	}
}

// clientLimits are those of SMTP, and again those of POP3.
func clientLimits(c *config.Config) inbound.Limits {
	return inbound.Limits{
		Connections:           c.Limits.Connections,
		ConnectionsPerNetwork: orMany(c.Limits.ConnectionsPerNetwork), NetworkBits4: 24,
		NetworkBits6: 56,
	}
}

// orMany is n, or as good as no limit where the configuration says 0.
func orMany(n int) int {
	if n == 0 {
		return 1 << 40
	}
	return n
}

// routing is the form in which a domain of the configuration, which was checked, is looked up.
func routing(domain string) string {
	domain, _ = smtp.Domain(domain)
	return domain
}

func listenerOf(l config.Listener) smtpd.ListenerOptions {
	o := smtpd.ListenerOptions{Name: l.Address, Tenant: l.Tenant,
		ProxyFrom: prefixes(l.ProxyProtocolFrom), AllowPlainAuth: l.AuthWithoutTLS,
		MaxLine: int(l.MaxLine), LoginDomain: l.LoginDomain,
		CompleteDomain: routing(l.CompleteDomain)}
	switch l.Kind {
	case config.KindSubmission:
		o.Kind = smtpd.Submission
	case config.KindSubmissions:
		o.Kind = smtpd.Submissions
	case config.KindLMTP:
		o.Kind = smtpd.LMTP
	}
	return o
}

// certsOf are the certificates that listeners show.
func certsOf(c *config.Config) certs.Files {
	f := certs.Files{Default: certs.Pair{Certificate: c.TLS.Certificate, Key: c.TLS.Key}}
	for _, more := range c.Certificates {
		p := certs.Pair{Certificate: more.Certificate, Key: more.Key}
		for _, name := range more.Names {
			p.Names = append(p.Names, smtp.DomainPattern(name))
		}
		f.More = append(f.More, p)
	}
	return f
}

var tlsVersions = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": 0,
	"1.3": tls.VersionTLS13}

// allowOf is what a listener allows old devices.
func allowOf(l config.Listener) certs.Allow {
	return certs.Allow{Min: tlsVersions[l.TLSMin], RSA: l.TLSRSA}
}

func isPOP3(k config.Kind) bool { return k == config.KindPOP3 || k == config.KindPOP3S }

func pop3ListenerOf(l config.Listener) pop3.ListenerOptions {
	return pop3.ListenerOptions{Name: l.Address, Implicit: l.Kind == config.KindPOP3S,
		ProxyFrom: prefixes(l.ProxyProtocolFrom), AllowPlainAuth: l.AuthWithoutTLS}
}

func deliveryOf(c *config.Config) (delivery.Settings, error) {
	o := delivery.Settings{
		Port: uint16(c.Delivery.Port), Connections: c.Delivery.Connections,
		Hello: c.Delivery.Helo, Addresses: c.Delivery.MXAddresses,
		Sessions: c.Delivery.MXSessions,
		Retry: delivery.Retry{Expire: time.Duration(c.Retry.Expire),
			DelayWarning: time.Duration(c.Retry.DelayWarning)},
	}
	for _, d := range c.Retry.Schedule {
		o.Retry.Schedule = append(o.Retry.Schedule, time.Duration(d))
	}
	for _, b := range c.Delivery.Bind {
		a, err := netip.ParseAddr(b)
		if err != nil {
			return o, fmt.Errorf("delivery.bind: %w", err)
		}
		o.Sources = append(o.Sources, a)
	}
	o.Shaping = map[string]delivery.Shaping{}
	for name, s := range c.Shaping {
		rate := delivery.Rate{Count: int(s.Rate.N), Per: s.Rate.Per}
		if s.Rate.N == 0 { // it said so, or what it inherits from did
			rate = shaping.NoRate
		}
		o.Shaping[smtp.DomainPattern(name)] = delivery.Shaping{
			Connections: s.Connections, MessagesPerConnection: s.MessagesPerConnection,
			RecipientsPerMessage: s.RecipientsPerMessage,
			Rate:                 rate,
			Scope:                s.Scope,
		}
	}
	for _, r := range c.Routes {
		route, err := routeOf(r)
		if err != nil {
			return o, err
		}
		o.Routes = append(o.Routes, route)
	}
	return o, nil
}

var tlsModes = map[string]smtpclient.TLSMode{
	"opportunistic": smtpclient.Opportunistic, "require": smtpclient.Require, "off": smtpclient.Off,
}

func routeOf(r config.Route) (delivery.Route, error) {
	o := delivery.Route{
		Domain: r.Domain, Recipient: r.Recipient, Sender: r.Sender, Tenant: r.Tenant,
		Networks:  prefixes(r.Network),
		SmartHost: r.SmartHost, LMTP: r.Protocol == "lmtp", TLS: tlsModes[r.TLS],
		Username: r.Username,
	}
	if o.Username != "" && r.TLSVerify && o.TLS == smtpclient.Opportunistic {
		o.TLS = smtpclient.Require // else the password goes to anybody in the host's place
	}
	if strings.HasPrefix(o.Sender, "@") {
		o.Sender = "*" + o.Sender // "@example.net" is all senders of a domain
	}
	if r.PasswordFile != "" {
		password, err := config.ReadSecret(r.PasswordFile)
		if err != nil {
			return o, fmt.Errorf("route.password_file: %w", err)
		}
		o.Password = password
	}
	return o, nil
}

func resolverOf(c *config.Config) mx.Options {
	o := mx.Options{Servers: c.DNS.Servers, Names: []string{c.Node.Hostname},
		AllowPrivate: c.Delivery.AllowPrivateDestinations}
	return o
}

// adminOf reads the token's file.
func adminOf(c *config.Config) (o admin.Settings, err error) {
	o = admin.Settings{Hosts: adminHosts(c), Events: c.EventsPath(),
		LocalDomains: c.Local.Domains, Relays: c.Relays}
	if file := c.Admin.TokenFile; file != "" {
		if o.Token, err = config.ReadSecret(file); err != nil {
			return o, fmt.Errorf("admin.token_file: %w", err)
		}
	}
	return o, nil
}

// adminHosts are the names under which the administration may be reached.
func adminHosts(c *config.Config) []string {
	return append([]string{c.Node.Name, c.Node.Hostname}, c.Admin.Hosts...)
}

// sampleOf is the share of messages that are traced.
func sampleOf(c *config.Config) float64 { return float64(c.Telemetry.TraceSample) / 100 }

func logOf(c *config.Config) maillog.Options {
	o := maillog.Options{
		Lines: os.Stderr, JSON: c.Telemetry.LogFormat == "json", Prefix: true,
		Host: c.Node.Name, Node: c.Node.Name,
		Events: c.EventsPath(), Rotate: int64(c.Events.Rotate), Keep: c.Events.Keep,
	}
	if maillog.UnderJournal() {
		o.Lines, o.Journal, o.Prefix = maillog.Journal(os.Stderr), true, false
	}
	return o
}
