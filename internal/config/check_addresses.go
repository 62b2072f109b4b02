package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// endpoint is an address on which the node will listen.
type endpoint struct {
	key, text string
	ip        netip.Addr // the unspecified one of IPv6 for all, as the system listens
	port      string
}

// overlaps reports whether two endpoints cannot both be opened.
func (e endpoint) overlaps(o endpoint) bool {
	return e.port == o.port && e.port != "0" &&
		(e.ip == o.ip || e.ip.IsUnspecified() || o.ip.IsUnspecified())
}

// listens checks an address to listen on, by itself and beside those that were checked before.
func (k *checker) listens(key, s string) {
	e, hint := readEndpoint(s)
	switch {
	case s == "":
		k.bad(key, "is missing", `write an IP address and a port, such as "127.0.0.1:2525"`)
		return
	case hint != "":
		k.bad(key, strconv.Quote(clip(s))+" is not an address to listen on", hint)
		return
	}
	e.key, e.text = key, s
	for _, other := range k.open {
		if !e.overlaps(other) {
			continue
		}
		mine, other := e, other
		if !k.where.has(key) && k.where.has(other.key) { // a default is not to blame
			mine, other = other, mine
		}
		what := mine.text + " is also " + other.key
		if mine.ip != other.ip {
			what = mine.text + " and " + other.text + " (" + other.key + ") cannot both be " +
				"opened: one is for every address of the machine"
		}
		k.bad(mine.key, what, "give each its own port, or its own address")
		break
	}
	k.open = append(k.open, e)
}

// readEndpoint reads an address to listen on, or says what to write instead. Only the IP address
// may be empty, for all of them.
func readEndpoint(s string) (e endpoint, hint string) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return e, hintAddress(s, `use an IP address and a port, such as "0.0.0.0:25" or "[::1]:2525"`)
	}
	if !goodPort(port) {
		return e, "the port is a number of 0 to 65535, such as 25"
	}
	e.port = port
	switch host {
	case "":
		e.ip = netip.IPv6Unspecified()
		return e, ""
	case "localhost":
		e.ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		return e, ""
	}
	if e.ip, err = netip.ParseAddr(host); err != nil {
		return e, "use an IP address: of names only localhost is taken"
	}
	if e.ip = e.ip.Unmap(); e.ip.IsUnspecified() {
		e.ip = netip.IPv6Unspecified()
	}
	return e, ""
}

// hintAddress says what is missing of an address and a port; otherwise is for what is neither.
func hintAddress(s, otherwise string) string {
	at := strings.LastIndexByte(s, ':')
	if at > 0 && goodPort(s[at+1:]) {
		if ip, err := netip.ParseAddr(s[:at]); err == nil && ip.Is6() {
			return "write " + strconv.Quote(net.JoinHostPort(s[:at], s[at+1:]))
		}
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "a port is missing: write " +
			strconv.Quote(net.JoinHostPort(strings.Trim(s, "[]"), "25")) + ", for one"
	}
	return otherwise
}

// peer checks an address that other nodes dial. A name is looked up at each dial.
func (k *checker) peer(key, s string) {
	host, port, err := net.SplitHostPort(s)
	ok := err == nil && goodPort(port)
	if ip, err := netip.ParseAddr(host); err == nil {
		ok = ok && !ip.IsUnspecified()
	} else {
		ok = ok && checkDomain(host) == ""
	}
	k.must(ok, key, strconv.Quote(clip(s))+" is not an address that other nodes can dial",
		hintAddress(s, `use a name or an IP address and a port, such as "mx1.example.net:7025" `+
			`or "192.0.2.1:7025"`))
}
