package config

import (
	"net"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// checker gathers the problems of combinations and values that the types cannot rule out.
type checker struct {
	*Config
	file     string
	problems Problems
	open     []endpoint // where the node will listen
}

// Check finds values and combinations that cannot work; it reads no files. Load has called it.
func (c *Config) Check(file string) error {
	k := &checker{Config: c, file: file}
	k.node()
	k.listeners()
	k.mail()
	k.limits()
	k.delivery()
	k.routes()
	k.retry()
	k.shaping()
	k.service()
	k.ldap()
	sort.SliceStable(k.problems, func(i, j int) bool {
		a, b := k.problems[i], k.problems[j]
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
	return k.problems.asError()
}

func (k *checker) bad(key, what, hint string) {
	k.problems.add(k.where.at(key).problem(k.file, key, what, hint))
}

// must reports what when ok is false.
func (k *checker) must(ok bool, key, what, hint string) {
	if !ok {
		k.bad(key, what, hint)
	}
}

// nameOctets are what a node's name has, in a cluster, too (cluster/control).
const nameOctets = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

func (k *checker) node() {
	k.must(k.Node.Name != "" && strings.Trim(k.Node.Name, nameOctets) == "", "node.name",
		"is not a name", "use letters, digits, dots, hyphens and underscores")
	k.domain("node.hostname", k.Node.Hostname)
	k.must(k.Node.DataDir != "", "node.data_dir", "is empty",
		`name a directory, such as "/var/lib/postroad"`)
}

func (k *checker) listeners() {
	k.must(len(k.Listeners) > 0, "listener", "is an empty list: the node would take no mail",
		"add a [[listener]]")
	for i, l := range k.Listeners {
		key := "listener[" + strconv.Itoa(i) + "]"
		k.listens(key+".address", l.Address)
		k.must(l.MaxLine == 0 || l.MaxLine >= 998, key+".max_line",
			"is less than RFC 5322 2.1.1 lets every sender use", `write "998B" or more`)
		if l.LoginDomain != "" {
			k.domain(key+".login_domain", l.LoginDomain)
		}
		if l.CompleteDomain != "" {
			k.domain(key+".complete_domain", l.CompleteDomain)
		}
		k.listenerKind(key, l)
	}
	k.pair("tls", "certificate", k.TLS.Certificate, "key", k.TLS.Key)
	for i, c := range k.Certificates {
		key := "certificate[" + strconv.Itoa(i) + "]"
		k.must(c.Certificate != "", key+".certificate", "is missing", "name a PEM file")
		k.must(c.Key != "", key+".key", "is missing", "name a PEM file")
		for j, name := range c.Names {
			k.domainPattern(key+".names["+strconv.Itoa(j)+"]", name)
		}
	}
}

func (k *checker) listenerKind(key string, l Listener) {
	switch l.Kind {
	case KindLMTP:
		_, port := splitPort(l.Address)
		k.must(port != "25", key+".address", "LMTP must not be served on port 25 (RFC 2033 5)",
			"use another port, such as 24")
	case KindSubmissions, KindPOP3S:
		k.must(!l.AuthWithoutTLS, key+".auth_without_tls",
			"a "+string(l.Kind)+" listener has TLS from the first octet", "leave the key out")
	}
}

// pair reports when one of two keys that need each other is missing.
func (k *checker) pair(section, a, valueA, b, valueB string) {
	if valueA != "" && valueB == "" {
		k.bad(section+"."+a, "needs "+b, "set "+section+"."+b+" too")
	}
	if valueB != "" && valueA == "" {
		k.bad(section+"."+b, "needs "+a, "set "+section+"."+a+" too")
	}
}

func (k *checker) mail() {
	for i, d := range k.Relay.Domains {
		k.domainPattern("relay.domains["+strconv.Itoa(i)+"]", d)
	}
	for i, d := range k.Local.Domains {
		key := "local.domains[" + strconv.Itoa(i) + "]"
		k.domain(key, d)
		k.must(!k.Relays(d), key, d+" is also in relay.domains",
			"a domain's mail is either kept here or relayed on")
	}
	if a := k.Local.Postmaster; a != "" {
		k.mailbox("local.postmaster", a)
		k.must(!strings.HasPrefix(strings.ToLower(a), "postmaster@") || !k.isLocal(a),
			"local.postmaster",
			a+" is what it stands for", "name the mailbox of a person")
	}
	k.must(headerName(k.Policy.CampaignHeader), "policy.campaign_header",
		"is not the name of a header field",
		`use letters, digits and hyphens, such as "X-Campaign"`)
}

func (k *checker) isLocal(address string) bool {
	domain := address[strings.LastIndexByte(address, '@')+1:]
	for _, d := range k.Local.Domains {
		if strings.EqualFold(d, domain) {
			return true
		}
	}
	return false
}

func (k *checker) limits() {
	l := k.Limits
	// RFC 5321 4.5.3.1.7 and 4.5.3.1.8: at least 64 KiB of content and 100 recipients.
	k.must(l.MessageSize >= 64<<10, "limits.message_size", "is less than RFC 5321 allows",
		`use at least "64KiB"`)
	k.must(l.MessageSize <= 2<<30, "limits.message_size", "is more than this server can keep",
		`use at most "2GiB"`)
	k.must(l.Recipients >= 100, "limits.recipients", "is less than RFC 5321 allows",
		"use at least 100")
	k.must(l.Recipients <= 50000, "limits.recipients", "is more than one transaction can keep",
		"use at most 50000")
	k.must(l.Connections > 0, "limits.connections", "is 0: nobody could connect", "use at least 1")
	k.must(l.ConnectionsPerNetwork > 0, "limits.connections_per_network",
		"is 0: nobody could connect", "use a large number for no such limit")
	k.must(l.MessagesPerConnection > 0, "limits.messages_per_connection",
		"is 0: no mail could come in", "use a large number for no such limit")
	k.must(l.MinimumDataRate > 0 && l.MinimumDataRate <= 1<<20, "limits.minimum_data_rate",
		"is out of bounds", `use "1B" to "1MiB"`)
	k.must(l.Errors > 0, "limits.errors", "is 0: every session would end at once", "use at least 1")
	k.must(l.AuthFailures > 0, "limits.auth_failures", "is 0: nobody could log in",
		"use at least 1")
	k.must(l.Hops >= 30, "limits.hops", "is less than honest mail has", "use at least 30")
	k.must(l.IdleTimeout >= Duration(10*time.Second), "limits.idle_timeout",
		"is too short for honest clients", `use at least "10s"`)
	k.must(l.Memory >= 32<<20, "limits.memory", "is less than the node needs to run",
		`use at least "32MiB"`)
	k.must(l.FreeDisk <= 90, "limits.free_disk", "would refuse nearly all mail",
		`use at most "90%"`)
}

func (k *checker) delivery() {
	d := k.Delivery
	k.must(d.Port > 0 && d.Port < 65536, "delivery.port", "is not a port",
		"use 1 to 65535; mail servers listen on 25")
	k.domain("delivery.helo", d.Helo)
	k.must(d.Connections > 0, "delivery.connections", "is 0: nothing could be delivered",
		"use at least 1")
	k.must(d.MXAddresses > 0 && d.MXAddresses <= 100, "delivery.mx_addresses", "is out of bounds",
		"use 1 to 100")
	k.must(d.MXSessions > 0 && d.MXSessions <= 10, "delivery.mx_sessions", "is out of bounds",
		"use 1 to 10; 1 asks no second host")
	for i, a := range d.Bind {
		addr, err := netip.ParseAddr(a)
		k.must(err == nil && !addr.IsUnspecified(), "delivery.bind["+strconv.Itoa(i)+"]",
			a+" is not a source address",
			`use an address of this machine, such as "192.0.2.1"`)
	}
	for i, s := range k.DNS.Servers {
		host, port := splitPort(s)
		_, err := netip.ParseAddr(host)
		k.must(err == nil && (port == "" || goodPort(port)), "dns.servers["+strconv.Itoa(i)+"]",
			s+" is not the address of a resolver",
			`use an IP address, with a port unless it is 53: "127.0.0.1:5353"`)
	}
}

func (k *checker) retry() {
	k.must(len(k.Retry.Schedule) > 0, "retry.schedule", "is empty",
		`name at least one pause, such as ["30m"]`)
	for i, d := range k.Retry.Schedule {
		k.must(d >= Duration(time.Second), "retry.schedule["+strconv.Itoa(i)+"]", "is too short",
			`use at least "1s"`)
	}
	k.must(k.Retry.Expire > 0, "retry.expire", "is 0: mail would be returned at once",
		`RFC 5321 4.5.4.1 asks for "4d" or more`)
	k.must(k.Retry.DelayWarning < k.Retry.Expire, "retry.delay_warning",
		"comes after retry.expire, so no warning would be sent",
		`use less than `+k.Retry.Expire.String()+`, or "0s" for none`)
}

func (k *checker) shaping() {
	for name, s := range k.Shaping {
		key := join("shaping", quoteKey(name))
		if name != "default" {
			k.domain(key, name)
		}
		k.must(s.Connections > 0, key+".connections", "is 0: nothing could be delivered",
			"to stop delivery, hold the mail in the queue instead")
		k.must(s.MessagesPerConnection > 0, key+".messages_per_connection", "is 0",
			"use at least 1")
		k.must(s.RecipientsPerMessage > 0, key+".recipients_per_message", "is 0", "use at least 1")
	}
}

func (k *checker) service() {
	if k.Admin.Address != "" {
		k.listens("admin.address", k.Admin.Address)
	}
	k.must(k.Admin.TokenFile == "" || k.Admin.Address != "", "admin.token_file",
		"is for administration over TCP, but admin.address is empty",
		"set admin.address, or leave the token file out")
	k.must(k.Events.Rotate >= 1<<20, "events.rotate", "would rotate all the time",
		`use at least "1MiB"`)
	if o := k.Telemetry.OTLP; o != "" {
		host, port, err := net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(o, "https://"),
			"http://"))
		k.must(err == nil && host != "" && goodPort(port), "telemetry.otlp",
			o+" is not an OTLP/gRPC endpoint",
			`use host and port, such as "127.0.0.1:4317" or "https://otel.example.net:4317"`)
	}
	k.listens("cluster.listen", k.Cluster.Listen)
	k.peer("cluster.advertise", k.Cluster.Advertise)
	for _, a := range k.Cluster.Join {
		k.peer("cluster.join", a)
	}
	k.must(len(k.Cluster.Join) == 0 || k.Cluster.TokenFile != "", "cluster.join",
		"is set, but cluster.token_file is not", "name the file with the join token")
	k.must(k.Cluster.Replicas == 3 || k.Cluster.Replicas == 5, "cluster.replicas",
		"is "+strconv.Itoa(k.Cluster.Replicas), "use 3 or 5")
	k.must(k.Cluster.MailboxShards >= 1 && k.Cluster.MailboxShards <= 256, "cluster.mailbox_shards",
		"is "+strconv.Itoa(k.Cluster.MailboxShards), "use 1 to 256")
}

// headerName reports whether s may name a header field (RFC 5322 2.2); "" is for none.
func headerName(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 127 || s[i] == ':' {
			return false
		}
	}
	return len(s) <= 76 && utf8.ValidString(s)
}
