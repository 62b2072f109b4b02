package mx

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// FuzzAnswer gives the resolver's logic whatever bytes may come: as the answer to the MX question,
// and the same again as the answers about addresses. It must not panic, must accept only what
// answers the question, and must come to a bounded route of public addresses.
func FuzzAnswer(f *testing.F) {
	q := question("two.example.", dns.TypeMX, true)
	q.Id = 0x1234
	seed := func(change func(m *dns.Msg), rrs ...string) {
		m := new(dns.Msg)
		m.SetReply(q)
		for _, s := range rrs {
			m.Answer = append(m.Answer, rr(s))
		}
		change(m)
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, uint16(dns.TypeMX))
		f.Add(wire, uint16(dns.TypeA))
	}
	keep := func(*dns.Msg) {}
	seed(keep, "two.example. 300 IN MX 10 a.two.example.", "two.example. 300 IN MX 20 me.example.")
	seed(keep, "two.example. 300 IN MX 0 .")
	seed(keep, "two.example. 300 IN CNAME x.example.", "x.example. 300 IN MX 1 10.0.0.1.")
	seed(keep, "two.example. 300 IN CNAME two.example.")
	seed(keep, "two.example. 300 IN A 127.0.0.1", "two.example. 300 IN AAAA ::ffff:10.0.0.1", "two.example. 0 IN A 203.0.113.1")
	seed(func(m *dns.Msg) { m.Rcode = dns.RcodeNameError; m.Ns = []dns.RR{rr(soa)} })
	seed(func(m *dns.Msg) { m.Id++ }, "two.example. 300 IN MX 1 evil.example.")
	seed(func(m *dns.Msg) { m.Question[0].Name = "three.example." }, "two.example. 300 IN MX 1 evil.example.")
	seed(func(m *dns.Msg) { m.Truncated = true })

	own := map[string]bool{"me.example": true}
	f.Fuzz(func(t *testing.T, wire []byte, qtype uint16) {
		q := question("two.example.", qtype, true)
		q.Id = 0x1234
		m, err := accept(wire, q)
		if err != nil {
			if m != nil {
				t.Fatal("a message beside an error")
			}
			return
		}
		if got := m.Question[0]; binary.BigEndian.Uint16(wire) != 0x1234 || !m.Response || len(m.Question) != 1 ||
			!strings.EqualFold(got.Name, "two.example.") || got.Qtype != qtype || got.Qclass != dns.ClassINET {
			t.Fatalf("accepted %v", m)
		}
		a := read(m, "two.example.", qtype)
		if len(a.mx)+len(a.addrs) > maxRecords || a.ttl < 0 || (a.outcome == exists) != (len(a.mx)+len(a.addrs) > 0) {
			t.Fatalf("%+v", a)
		}
		p, fail := newPlan(a.mx, own, 3, rand.Shuffle)
		if fail != nil && !(len(a.mx) == 1 && a.mx[0].name == "") {
			t.Fatalf("%v for %v", fail, a.mx)
		}
		if len(p.candidates) > 3 || len(p.site) > maxSite+253 {
			t.Fatalf("%+v", p)
		}
		v4, v6 := read(m, "two.example.", dns.TypeA), read(m, "two.example.", dns.TypeAAAA)
		checkTally(t, p, alternate(v6.addrs, v4.addrs))
	})
}

func checkTally(t *testing.T, p plan, addrs []netip.Addr) {
	if len(addrs) > maxHostAddrs {
		t.Fatalf("%d addresses of one host", len(addrs))
	}
	candidates := p.candidates
	if len(candidates) == 0 {
		candidates = []exchanger{{name: "two.example"}}
	}
	var all tally
	for i, x := range candidates {
		if !validHost(x.name) || x.name == "me.example" || i > 0 && candidates[i-1].pref > x.pref {
			t.Fatalf("candidates %v", candidates)
		}
		all.add(x, addresses{outcome: exists, addrs: addrs, expires: time.Now()}, nil, false)
	}
	if (all.verdict() == nil) != (len(all.hosts) > 0) {
		t.Fatalf("%v with hosts %v", all.verdict(), all.hosts)
	}
	for _, h := range all.hosts {
		for _, a := range h.Addrs {
			if !public(a) || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || !a.IsValid() {
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
	for _, s := range []string{"a.example", "[1.2.3.4]", "[IPv6:::1]", "[ipv6:fe80::1%eth0]", "[", "1.2.3.4", "a..b", "[]"} {
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
		if _, err := question(fqdn(s), dns.TypeMX, true).Pack(); err != nil {
			t.Fatalf("the name %q makes no question: %v", s, err)
		}
		if n := siteName([]string{s, "x." + s, "mx.example.net"}); len(n) > maxSite+253+8 {
			t.Fatalf("site of %d octets", len(n))
		}
	})
}
