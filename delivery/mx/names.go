package mx

import (
	"net/netip"
	"strings"
)

// validHost reports whether a name can be a host's: letters, digits, hyphens and underscores in
// labels of 1 to 63 octets, 253 in all, and a last label that is not a number (RFC 3696 section 2),
// so that an IP address in an MX record is a name which does not exist. All other names are not
// even asked for; so none reaches a log either.
func validHost(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	label, digits := 0, 0
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label, digits = 0, 0
			continue
		case '0' <= c && c <= '9':
			digits++
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-', c == '_':
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0 && digits < label
}

// literal reads an address literal (RFC 5321 4.1.3): [192.0.2.1] or [IPv6:2001:db8::1].
func literal(domain string) (a netip.Addr, isLiteral bool) {
	inner, ok := strings.CutPrefix(domain, "[")
	if !ok {
		return a, false
	}
	inner, ok = strings.CutSuffix(inner, "]")
	if !ok {
		return a, true
	}
	const tag = "ipv6:"
	if len(inner) > len(tag) && strings.EqualFold(inner[:len(tag)], tag) {
		if v6, err := netip.ParseAddr(inner[len(tag):]); err == nil && v6.Is6() && v6.Zone() == "" {
			return v6.Unmap(), true
		}
		return a, true
	}
	if v4, err := netip.ParseAddr(inner); err == nil && v4.Is4() {
		return v4, true
	}
	return a, true
}

// refused lists the addresses that are nobody's on the Internet (RFC 6890 and its kin). An MX
// record that points there is an error of its owner's, or his try to make us talk to our own
// network.
var refused = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.168.0.0/16", "198.18.0.0/15",
	"224.0.0.0/4", "240.0.0.0/4",
	"::/96", "::ffff:0:0/96", "64:ff9b:1::/48", "100::/64", "2002::/16", "fc00::/7", "fe80::/10",
	"fec0::/10", "ff00::/8")

var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(list ...string) (ps []netip.Prefix) {
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// public reports whether a is an address that a stranger's MX record may name. Loopback is not; see
// isLoopback.
func public(a netip.Addr) bool {
	if nat64.Contains(a) { // RFC 6052: an IPv4 address inside
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if isLoopback(a) || a.Zone() != "" {
		return false
	}
	for _, p := range refused {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// isLoopback reports an address that is ourselves whoever we are.
func isLoopback(a netip.Addr) bool { return a.IsLoopback() || a.IsUnspecified() }
