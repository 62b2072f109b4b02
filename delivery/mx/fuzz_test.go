package mx

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/dns"
	dnstest "github.com/postroad/postroad/internal/testkit/dns"
)

// FuzzPlan gives the decisions whatever an answer may hold: names of exchangers, one a line, each
// with its preference in front, and the octets of addresses that each of them has. It must come to
// a bounded route of public addresses.
func FuzzPlan(f *testing.F) {
	f.Add("\x0aa.two.example\n\x14me.example", []byte{203, 0, 113, 1}, make([]byte, 16))
	f.Add("\x00", []byte{10, 0, 0, 1, 127, 0, 0, 1}, []byte{})
	f.Add("\x0110.0.0.1\n\x02b.example\n\x02c.example\n\x02d.example\n\x02e.example", []byte{},
		[]byte("\xfe\x80aaaaaaaaaaaaaa"))
	own := map[string]bool{"me.example": true}
	f.Fuzz(func(t *testing.T, names string, v4, v6 []byte) {
		var records []dns.MX
		for line := range strings.SplitSeq(names, "\n") {
			if line != "" {
				records = append(records,
					dns.MX{Host: dns.PlainName(line[1:]), Pref: uint16(line[0])})
			}
		}
		p, fail := newPlan(records, own, 3, rand.Shuffle)
		if fail != nil && !(len(records) == 1 && records[0].Host == "") {
			t.Fatalf("%v for %v", fail, records)
		}
		if len(p.candidates) > 3 || len(p.site) > maxSite+253 {
			t.Fatalf("%+v", p)
		}
		checkTally(t, p, alternate(addrsOf(v6, 16), addrsOf(v4, 4)))
	})
}

func addrsOf(b []byte, size int) (list []netip.Addr) {
	for ; len(b) >= size; b = b[size:] {
		a, _ := netip.AddrFromSlice(b[:size])
		list = append(list, a.Unmap())
	}
	return list
}

func checkTally(t *testing.T, p plan, addrs []netip.Addr) {
	if len(addrs) > maxHostAddrs {
		t.Fatalf("%d addresses of one host", len(addrs))
	}
	candidates := p.candidates
	if len(candidates) == 0 {
		candidates = []dns.MX{{Host: "two.example"}}
	}
	var all tally
	for i, x := range candidates {
		if !validHost(x.Host) || x.Host == "me.example" || i > 0 && candidates[i-1].Pref > x.Pref {
			t.Fatalf("candidates %v", candidates)
		}
		all.add(x, addresses{outcome: dns.Exists, addrs: addrs, expires: time.Now()}, nil, false)
	}
	if (all.verdict() == nil) != (len(all.hosts) > 0) {
		t.Fatalf("%v with hosts %v", all.verdict(), all.hosts)
	}
	for _, h := range all.hosts {
		for _, a := range h.Addrs {
			if !public(a) || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() ||
				a.IsMulticast() || !a.IsValid() {
				t.Fatalf("%s at %s", h.Name, a)
			}
		}
	}
	r := Route{Hosts: all.hosts}
	if n := len(r.Targets(0)); n > DefaultTargets || n == 0 && len(all.hosts) > 0 {
		t.Fatalf("%d targets", n)
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"a.example", "[1.2.3.4]", "[IPv6:::1]", "[ipv6:fe80::1%eth0]", "[",
		"1.2.3.4", "a..b", "[]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, is := literal(s)
		if is != strings.HasPrefix(s, "[") || a.IsValid() && (!is || a.Zone() != "" || a.Is4In6()) {
			t.Fatalf("literal(%q) = %v, %v", s, a, is)
		}
		if !validHost(s) {
			return
		}
		if _, err := netip.ParseAddr(s); err == nil {
			t.Fatalf("the address %q passes for a name", s)
		}
		if _, err := dnstest.Pack(s); err != nil {
			t.Fatalf("the name %q makes no question: %v", s, err)
		}
		if n := siteName([]string{s, "x." + s, "mx.example.net"}); len(n) > maxSite+253+8 {
			t.Fatalf("site of %d octets", len(n))
		}
	})
}
