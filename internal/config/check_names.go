package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

func (k *checker) routes() {
	for i, r := range k.Routes {
		key := "route[" + strconv.Itoa(i) + "]"
		if r.Domain != "" {
			k.domain(key+".domain", strings.ReplaceAll(r.Domain, "*", "x"))
		}
		if r.Recipient != "" {
			k.mailbox(key+".recipient", pattern(r.Recipient))
		}
		if r.Sender != "" && r.Sender != "<>" {
			k.mailbox(key+".sender", pattern(r.Sender))
		}
		if r.SmartHost != "" {
			k.smartHost(key, r)
		}
		k.must(r.SmartHost != "" || r.Protocol != "lmtp", key+".protocol",
			"is for a smart host, and there is none", "set "+key+".smart_host")
		k.must(r.SmartHost != "" || k.where.has(key+".tls"), key,
			"says neither where mail goes nor how", "set smart_host or tls")
		k.routeAuth(key, r)
	}
}

func (k *checker) smartHost(key string, r Route) {
	if strings.HasPrefix(r.SmartHost, "/") {
		k.must(len(r.SmartHost) < 108, key+".smart_host",
			"is too long for the path of a unix socket", "use a shorter one")
		return
	}
	host, port := splitPort(r.SmartHost)
	_, err := netip.ParseAddr(host)
	k.must((err == nil || checkDomain(host) == "") && (port == "" || goodPort(port)),
		key+".smart_host",
		r.SmartHost+" is not a host",
		`use "mail.example.net", "mail.example.net:587", "[192.0.2.1]:25" or "/run/dovecot/lmtp"`)
	k.must(r.Protocol != "lmtp" || port != "" && port != "25", key+".smart_host",
		"needs a port for LMTP, and not 25 (RFC 2033 5)",
		"name the port that the server listens on for LMTP, such as 24")
}

// pattern replaces what stands for anything by something that may stand in a name; "*" alone is any
// address.
func pattern(s string) string {
	if s == "*" {
		return "x@x"
	}
	return strings.ReplaceAll(s, "*", "x")
}

func (k *checker) routeAuth(key string, r Route) {
	k.pair(key, "username", r.Username, "password_file", r.PasswordFile)
	k.must(r.TLSVerify || r.TLS != "require", key+".tls_verify",
		"does not go with tls = \"require\", which is to verify", `use tls = "opportunistic"`)
	if r.Username == "" {
		return
	}
	k.must(r.SmartHost != "", key+".username", "is for AUTH at a smart host, and there is none",
		"set "+key+".smart_host")
	k.must(r.TLS != "off", key+".tls", "would send the password in the clear",
		`use tls = "require"`)
}

// goodPort allows 0, with which the system chooses: tests and demonstrations listen so.
func goodPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}

// splitPort takes a port off the end of "host", "host:port", "[address]:port" or a bare IPv6
// address.
func splitPort(s string) (host, port string) {
	if _, err := netip.ParseAddr(s); err == nil {
		return s, ""
	}
	if host, port, err := net.SplitHostPort(s); err == nil {
		return host, port
	}
	return strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), ""
}

func (k *checker) domain(key, d string) {
	if what := checkDomain(d); what != "" {
		k.bad(key, strconv.Quote(clip(d))+" "+what, `use a domain name, such as "example.net"`)
	}
}

// domainPattern allows "*." before a domain.
func (k *checker) domainPattern(key, d string) {
	if d == "*" {
		k.bad(key, `"*" would be every domain`, `use "*.example.net" for what is below a domain`)
		return
	}
	k.domain(key, strings.TrimPrefix(d, "*."))
}

// checkDomain says what is wrong with a domain name, or "". Names outside ASCII are taken and
// looked up as A-labels.
func checkDomain(d string) string {
	if d == "" {
		return "is empty"
	}
	ascii, err := idna.Lookup.ToASCII(d)
	if err != nil || len(ascii) > 253 {
		return "is not a domain name"
	}
	for label := range strings.SplitSeq(ascii, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") ||
			strings.HasSuffix(label, "-") {
			return "is not a domain name"
		}
	}
	return ""
}

func (k *checker) mailbox(key, a string) {
	at := strings.LastIndexByte(a, '@')
	if at < 1 || strings.ContainsAny(a, " <>\t\r\n") || checkDomain(a[at+1:]) != "" {
		k.bad(key, strconv.Quote(clip(a))+" is not an address", `use "user@example.net"`)
	}
}
