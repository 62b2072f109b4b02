package inbound

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol (haproxy's proxy-protocol.txt, versions 1 and 2) lets a balancer in front of
// us say who the client is. It carries no proof, so it is read only from listed addresses, and from
// these it is required: a balancer that stops sending it would otherwise make every client look
// like the balancer, which is often a trusted network.

const (
	proxyLine1Max = 107 // octets of a version 1 line, CRLF included (section 2.1)
	// octets after a version 2 header that we are ready to read; addresses take at most 216
	proxyBodyMax = 2048
)

// Listed reports whether connections from ip begin with a header: from is the list of the
// balancers' networks.
func Listed(from []netip.Prefix, ip netip.Addr) bool {
	for _, p := range from {
		if p.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}

var proxySignature2 = []byte("\r\n\r\n\x00\r\nQUIT\n")

var errProxy = errors.New("no valid PROXY header")

// Header is what a PROXY header says. When the addresses are not valid the connection is the
// balancer's own (a health check) or of a family that we do not serve, and its real addresses hold.
type Header struct {
	Client, Local netip.AddrPort
}

// ParseHeader reads a PROXY header at the start of in and returns its length. Length 0 without an
// error means that more octets are needed.
func ParseHeader(in []byte) (h Header, n int, err error) {
	if k := min(len(in), len(proxySignature2)); bytes.Equal(in[:k], proxySignature2[:k]) {
		return parseHeader2(in)
	}
	return parseHeader1(in)
}

func parseHeader1(in []byte) (h Header, n int, err error) {
	const word = "PROXY "
	if k := min(len(in), len(word)); string(in[:k]) != word[:k] {
		return h, 0, errProxy
	}
	eol := bytes.IndexByte(in[:min(len(in), proxyLine1Max)], '\n')
	if eol < 0 {
		if len(in) >= proxyLine1Max {
			return h, 0, errProxy
		}
		return h, 0, nil
	}
	if in[eol-1] != '\r' {
		return h, 0, errProxy
	}
	f := strings.Split(string(in[len(word):eol-1]), " ")
	if f[0] == "UNKNOWN" { // the rest of the line is to be ignored
		return h, eol + 1, nil
	}
	if len(f) != 5 || f[0] != "TCP4" && f[0] != "TCP6" {
		return h, 0, errProxy
	}
	client, ok1 := proxyAddr1(f[1], f[3], f[0] == "TCP4")
	local, ok2 := proxyAddr1(f[2], f[4], f[0] == "TCP4")
	if !ok1 || !ok2 {
		return h, 0, errProxy
	}
	return Header{client, local}, eol + 1, nil
}

func proxyAddr1(ip, port string, want4 bool) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(ip)
	if err != nil || a.Is4() != want4 || a.Zone() != "" {
		return netip.AddrPort{}, false
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), true
}

func parseHeader2(in []byte) (h Header, n int, err error) {
	if len(in) < 16 {
		return h, 0, nil
	}
	body := int(binary.BigEndian.Uint16(in[14:]))
	if in[12]>>4 != 2 || body > proxyBodyMax {
		return h, 0, errProxy
	}
	if len(in) < 16+body {
		return h, 0, nil
	}
	n = 16 + body
	switch in[12] & 15 {
	case 0: // LOCAL: the balancer speaks for itself
		return h, n, nil
	case 1: // PROXY
	default:
		return h, 0, errProxy
	}
	switch p := in[16:n]; in[13] {
	case 0x11: // TCP over IPv4
		if len(p) < 12 {
			return h, 0, errProxy
		}
		h.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[:4])),
			binary.BigEndian.Uint16(p[8:]))
		h.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(p[4:8])),
			binary.BigEndian.Uint16(p[10:]))
	case 0x21: // TCP over IPv6
		if len(p) < 36 {
			return h, 0, errProxy
		}
		h.Client = netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[:16])).Unmap(),
			binary.BigEndian.Uint16(p[32:]))
		h.Local = netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[16:32])).Unmap(),
			binary.BigEndian.Uint16(p[34:]))
	}
	return h, n, nil // other families: accepted, and the real addresses hold
}
