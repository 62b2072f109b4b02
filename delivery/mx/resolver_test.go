package mx

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad/postroad/internal/dns"
	dnstest "github.com/postroad/postroad/internal/testkit/dns"
)

const zone = `
two        IN MX 10 a.two
two        IN MX 20 b.two
a.two      IN A 203.0.113.1
a.two      IN AAAA 2001:db8::1
b.two      IN A 203.0.113.2
same-set   IN MX 5 b.two
same-set   IN MX 5 A.two
implicit   IN A 203.0.113.3
empty      IN TXT "no mail here"
null       IN MX 0 .
null       IN A 203.0.113.4
half-null  IN MX 0 .
half-null  IN MX 5 a.two
mxt10      IN MX 5 203.0.113.5.
mxt10b     IN MX 5 203.0.113.5.
mxt10b     IN MX 9 a.two
mxt11      IN MX 5 localhost.
localhost. IN A 127.0.0.1
mxt7       IN MX 1 m1.mxt7
mxt7       IN MX 2 m2.mxt7
mxt7       IN MX 3 me
mxt7       IN MX 3 m3.mxt7
mxt7       IN MX 4 m4.mxt7
m1.mxt7    IN A 203.0.113.11
m2.mxt7    IN A 203.0.113.12
m3.mxt7    IN A 203.0.113.13
m4.mxt7    IN A 203.0.113.14
me         IN A 203.0.113.99
alias-me   IN A 203.0.113.99
only-me    IN MX 10 alias-me
only-me    IN MX 20 a.two
first-me   IN MX 10 alias-me
first-me   IN MX 5  a.two
mxt4       IN MX 5 alias.mxt4
alias.mxt4 IN CNAME a.two
badcname   IN MX 5 dangling
dangling   IN CNAME nowhere
badcname2  IN MX 5 dangling
badcname2  IN MX 9 a.two
renamed    IN CNAME two
ring1      IN CNAME ring2
ring2      IN CNAME ring1
private    IN MX 5 p1
p1         IN A 10.0.0.1
p1         IN A 192.168.1.1
p1         IN AAAA fe80::1
p1         IN AAAA fd00::1
mapped     IN MX 5 p2
p2         IN AAAA ::ffff:10.0.0.1
p2         IN AAAA 64:ff9b::a00:1
p2         IN AAAA 2002:a00:1::1
part       IN MX 5 p3
p3         IN A 127.0.0.1
p3         IN A 203.0.113.6
noaddr     IN MX 5 empty
ttl        60 IN MX 5 a.two
mixed      IN MX 5 servfail.mixed
mixed      IN MX 6 empty
usable     IN MX 5 servfail.mixed
usable     IN MX 6 a.two
`

// The cases of the abuse collection about DNS, and those of RFC 5321 section 5.1 and RFC 7505.
func TestLookup(t *testing.T) {
	s := dnstest.Serve(t, zone)
	s.Behave("servfail.example", dnstest.Rcode(2))
	s.Behave("refused.example", dnstest.Rcode(5))
	s.Behave("servfail.mixed.example", dnstest.Rcode(2))
	r := newTest(t, s, func(o *Options) {
		o.Names = []string{"Me.example"}
		o.Addrs = []netip.Addr{netip.MustParseAddr("203.0.113.99")}
	})
	for _, c := range []struct{ domain, want string }{
		{"two.example", "10 a.two.example 2001:db8::1 203.0.113.1, 20 b.two.example 203.0.113.2"},
		{"implicit.example", "0 implicit.example 203.0.113.3"},
		{"empty.example", "5.1.2"},
		{"nowhere.example", "5.1.2"},
		{"null.example", "5.1.10"},
		{"half-null.example", "5 a.two.example 2001:db8::1 203.0.113.1"},
		{"mxt10.example", "5.4.4"},
		{"mxt10b.example", "9 a.two.example 2001:db8::1 203.0.113.1"},
		{"mxt11.example", "5.4.6"},
		{"mxt7.example", "1 m1.mxt7.example 203.0.113.11, 2 m2.mxt7.example 203.0.113.12"},
		{"only-me.example", "5.4.6"},
		{"first-me.example", "5 a.two.example 2001:db8::1 203.0.113.1"},
		{"mxt4.example", "5 alias.mxt4.example 2001:db8::1 203.0.113.1"},
		{"badcname.example", "5.4.4"},
		{"badcname2.example", "9 a.two.example 2001:db8::1 203.0.113.1"},
		{"renamed.example",
			"10 a.two.example 2001:db8::1 203.0.113.1, 20 b.two.example 203.0.113.2"},
		{"ring1.example", "5.1.2"},
		{"private.example", "5.4.4"},
		{"mapped.example", "5.4.4"},
		{"part.example", "5 p3.example 203.0.113.6"},
		{"noaddr.example", "5.4.4"},
		{"servfail.example", "4.4.3"},
		{"refused.example", "4.4.3"},
		{"mixed.example", "4.4.3"},
		{"usable.example", "6 a.two.example 2001:db8::1 203.0.113.1"},
		{"[203.0.113.7]", "0 [203.0.113.7] 203.0.113.7"},
		{"[IPv6:2001:db8::7]", "0 [IPv6:2001:db8::7] 2001:db8::7"},
		{"[ipv6:::1]", "5.4.6"},
		{"[127.0.0.1]", "5.4.6"},
		{"[10.0.0.1]", "5.4.4"},
		{"[203.0.113.99]", "5.4.6"},
		{"[2001:db8::7]", "5.1.2"},
		{"[1.2.3]", "5.1.2"},
		{"[1.2.3.4", "5.1.2"},
		{"203.0.113.5", "5.1.2"},
		{"a..example", "5.1.2"},
		{"", "5.1.2"},
		{strings.Repeat("a", 64) + ".example", "5.1.2"},
	} {
		if got := lookText(t, r, c.domain); got != c.want {
			t.Errorf("%s: %s, want %s", c.domain, got, c.want)
		}
	}
}

func lookText(t testing.TB, r *Resolver, domain string) string {
	route, f := look(t, r, domain)
	if route == nil {
		return f
	}
	var hosts []string
	for _, h := range route.Hosts {
		s := fmt.Sprintf("%d %s", h.Pref, h.Name)
		for _, a := range h.Addrs {
			s += " " + a.String()
		}
		hosts = append(hosts, s)
	}
	return strings.Join(hosts, ", ")
}

func TestPrivateAllowed(t *testing.T) {
	r := newTest(t, dnstest.Serve(t, zone), func(o *Options) { o.AllowPrivate = true })
	if got := lookText(t, r, "mxt11.example"); got != "5 localhost 127.0.0.1" {
		t.Fatal(got)
	}
	if got := lookText(t, r, "[127.0.0.1]"); got != "0 [127.0.0.1] 127.0.0.1" {
		t.Fatal(got)
	}
}

func TestDomainsWithOneMXSetShareASite(t *testing.T) {
	r := newTest(t, dnstest.Serve(t, zone), nil)
	a, _ := look(t, r, "two.example")
	b, _ := look(t, r, "same-set.example")
	if a.Site != "(a|b).two.example" || b.Site != a.Site {
		t.Fatalf("sites %q and %q", a.Site, b.Site)
	}
	c, _ := look(t, r, "implicit.example")
	if c.Site != "implicit.example" {
		t.Fatalf("site %q", c.Site)
	}
}

func TestSmartHost(t *testing.T) {
	s := dnstest.Serve(t, zone)
	s.Behave("servfail.example", dnstest.Rcode(2))
	r := newTest(t, s, nil)
	for _, c := range []struct{ host, want string }{
		{"p1.example", "fe80::1 10.0.0.1 fd00::1 192.168.1.1"},
		{"127.0.0.1", "127.0.0.1"},
		{"[IPv6:::1]", "::1"},
		{"nowhere.example", "4.4.4"},
		{"null.example", "203.0.113.4"},
		{"servfail.example", "4.4.3"},
	} {
		route, f := r.LookupHost(t.Context(), c.host)
		got := ""
		if f != nil {
			got = f.Enhanced
		} else {
			var l []string
			for _, a := range route.Hosts[0].Addrs {
				l = append(l, a.String())
			}
			got = strings.Join(l, " ")
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.host, got, c.want)
		}
	}
}

func TestSilenceIsTemporaryAndRememberedShortly(t *testing.T) {
	s := dnstest.Serve(t, zone)
	s.Behave("two.example", dnstest.Silence)
	took := make(chan time.Duration, 10)
	r := newTest(t, s, func(o *Options) {
		o.Timeout = 10 * time.Millisecond
		o.Took = func(d time.Duration) { took <- d }
	})
	clock := time.Now()
	r.now = func() time.Time { return clock }
	if got := lookText(t, r, "two.example"); got != "4.4.3" {
		t.Fatal(got)
	}
	if st := r.Stats(); st.Timeouts != 2 || st.Questions != 2 {
		t.Fatalf("%+v", st)
	}
	if lookText(t, r, "two.example"); len(took) != 1 {
		t.Errorf("%d look-ups are timed, want that which memory did not answer", len(took))
	}
	if _, f, ok := r.Cached("two.example"); !ok || f.Enhanced != "4.4.3" {
		t.Fatal("a time-out is not remembered")
	}
	clock = clock.Add(r.o.FailureTTL)
	if _, _, ok := r.Cached("two.example"); ok {
		t.Fatal("a time-out is remembered too long")
	}
}

// 500 exchangers of 50 addresses each are asked for and tried in bounded numbers.
func TestHugeMXSet(t *testing.T) {
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "huge IN MX 10 m%d.huge\n", i)
		for j := range 50 {
			fmt.Fprintf(&b, "m%d.huge IN A 203.%d.%d.%d\n", i, i/250, i%250, j)
		}
	}
	s := dnstest.Serve(t, b.String())
	r := newTest(t, s, nil)
	route, f := look(t, r, "huge.example")
	if f != "" {
		t.Fatal(f)
	}
	if len(route.Hosts) != 10 || len(route.Site) > maxSite+20 ||
		!strings.HasSuffix(route.Site, ".huge.example") {
		t.Fatalf("%d hosts, site %q", len(route.Hosts), route.Site)
	}
	for _, h := range route.Hosts {
		if len(h.Addrs) != maxHostAddrs {
			t.Fatalf("%s: %d addresses", h.Name, len(h.Addrs))
		}
	}
	if ts := route.Targets(0); len(ts) != DefaultTargets || ts[0].Name == ts[1].Name {
		t.Fatal(ts)
	}
	// the MX, ten hosts of two types; and what had to go by TCP
	if n := r.Stats().Questions; n > 21+10 {
		t.Fatalf("%d questions", n)
	}
}

func TestTargets(t *testing.T) {
	addr := netip.MustParseAddr
	r := &Route{Hosts: []Host{
		{"a", 1, []netip.Addr{addr("2001:db8::1"), addr("203.0.113.1"), addr("203.0.113.2")}},
		{"b", 1, []netip.Addr{addr("203.0.113.3")}},
		{"c", 2, []netip.Addr{addr("203.0.113.4"), addr("203.0.113.5")}},
	}}
	first := map[string]int{}
	for range 200 {
		ts := r.Targets(5)
		if len(ts) != 5 || ts[4].Name != "c" {
			t.Fatal(ts)
		}
		first[ts[0].Name]++
		var v6 bool
		for _, x := range ts {
			v6 = v6 || x.Addr.Is6()
		}
		if !v6 {
			t.Fatal("no IPv6 address", ts)
		}
	}
	if first["a"] < 50 || first["b"] < 50 || first["c"] != 0 {
		t.Fatal("equal preference is not shuffled", first)
	}
	if ts := r.Targets(100); len(ts) != 6 {
		t.Fatal(ts)
	}
}

func TestIPv6OnlyWhereItLeadsSomewhere(t *testing.T) {
	s := dnstest.Serve(t, zone+"six IN AAAA 2001:db8::6\n")
	r := newTest(t, s, func(o *Options) { o.IPv6 = func() bool { return false } })
	if got := lookText(t, r,
		"two.example"); got != "10 a.two.example 203.0.113.1, 20 b.two.example 203.0.113.2" {
		t.Fatal(got)
	}
	if n := s.Asked.Load(); n != 3 {
		t.Fatalf("%d questions, want MX and two A", n)
	}
	if got := lookText(t, r, "six.example"); got != "0 six.example 2001:db8::6" {
		t.Fatal(got)
	}
}

func TestTTL(t *testing.T) {
	s := dnstest.Serve(t, zone)
	r := newTest(t, s, nil)
	clock := time.Now()
	r.now = func() time.Time { return clock }
	route, _ := look(t, r, "ttl.example")
	if d := route.Expires.Sub(clock); d != time.Minute {
		t.Fatalf("kept %v, want the least TTL", d)
	}
	asked := s.Asked.Load()
	clock = clock.Add(time.Minute - 1)
	if _, _, ok := r.Cached("ttl.example"); !ok || lookText(t, r, "ttl.example") == "" ||
		s.Asked.Load() != asked {
		t.Fatal("not answered from memory")
	}
	clock = clock.Add(1)
	look(t, r, "ttl.example")
	if n := s.Asked.Load() - asked; n != 1 { // the host's addresses live longer
		t.Fatalf("%d questions after the MX record's time, want 1", n)
	}
	look(t, r, "nowhere.example") // the SOA's minimum is 60 s, its TTL 300 s
	clock = clock.Add(time.Minute - 1)
	if _, f, ok := r.Cached("nowhere.example"); !ok || f.Enhanced != "5.1.2" {
		t.Fatal("NXDOMAIN is not kept")
	}
	clock = clock.Add(1)
	if _, _, ok := r.Cached("nowhere.example"); ok {
		t.Fatal("NXDOMAIN is kept too long")
	}
}

// Many callers for one domain put one question; a caller who leaves takes nothing from the others.
func TestOneFlightForMany(t *testing.T) {
	s := dnstest.Serve(t, zone)
	gate, arrived := make(chan struct{}), make(chan string, 10)
	s.Hold("two.example", arrived, gate)
	r := newTest(t, s, func(o *Options) { o.Timeout = 10 * time.Second })
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		if _, f := r.Lookup(ctx, "two.example"); f == nil || f.Enhanced != "4.4.3" {
			t.Errorf("the caller who left got %v", f)
		}
		close(left)
	}()
	<-arrived
	cancel()
	<-left
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, f := look(t, r, "two.example"); f != "" {
				t.Error(f)
			}
		})
	}
	close(gate)
	wg.Wait()
	if n := len(arrived); n != 0 {
		t.Fatalf("asked %d times more", n)
	}
}

func TestConcurrencyIsBounded(t *testing.T) {
	s := dnstest.Serve(t, zone)
	gate, arrived := make(chan struct{}), make(chan string, 10)
	s.Hold("two.example", arrived, gate)
	s.Hold("implicit.example", arrived, gate)
	r := newTest(t, s, func(o *Options) { o.Concurrency, o.Timeout = 1, 10*time.Second })
	done := make(chan struct{})
	go func() { look(t, r, "two.example"); close(done) }()
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, f := r.Lookup(ctx, "implicit.example"); f == nil || f.Code != 451 {
		t.Fatal(f)
	}
	if len(arrived) != 0 {
		t.Fatal("a second look-up began")
	}
	close(gate)
	<-done
}

func TestSiteNames(t *testing.T) {
	many := make([]string, 300)
	for i := range many {
		many[i] = fmt.Sprintf("mail-%d.example.net", i)
	}
	less := slices.Clone(many)
	less[299] = "mail-x.example.net"
	for _, c := range []struct {
		names []string
		want  string
	}{
		{[]string{"mx.example.net"}, "mx.example.net"},
		{[]string{"mx2.example.net", "mx1.example.net", "mx1.example.net"},
			"(mx1|mx2).example.net"},
		{[]string{"alt1.aspmx.l.google.com", "aspmx.l.google.com"},
			"(alt1.aspmx|aspmx).l.google.com"},
		{[]string{"a.net", "b.org"}, "(a.net|b.org)"},
		{[]string{"example.net", "mx.example.net"}, "(example|mx.example).net"},
		{[]string{"net", "mx.net"}, "(mx.net|net)"},
	} {
		if got := siteName(c.names); got != c.want {
			t.Errorf("%v: %s, want %s", c.names, got, c.want)
		}
	}
	if a, b := siteName(many), siteName(less); a == b || len(a) > maxSite+20 ||
		!strings.HasSuffix(a, ").example.net") {
		t.Errorf("%s and %s", a, b)
	}
}

// An exchanger that is us by its address takes those of its preference with it, whichever was
// looked at first.
func TestOurselvesByAddress(t *testing.T) {
	us, other := netip.MustParseAddr("203.0.113.99"), netip.MustParseAddr("203.0.113.1")
	at := func(a netip.Addr) addresses {
		return addresses{outcome: dns.Exists, addrs: []netip.Addr{a}}
	}
	var l tally
	own := []netip.Addr{us}
	if !l.add(dns.MX{Host: "better", Pref: 5}, at(other), own, false) ||
		!l.add(dns.MX{Host: "equal", Pref: 10}, at(other), own, false) ||
		l.add(dns.MX{Host: "us", Pref: 10}, at(us), own, false) {
		t.Fatal("judged wrongly")
	}
	if len(l.hosts) != 1 || l.hosts[0].Name != "better" {
		t.Fatal(l.hosts)
	}
}

func newTest(t testing.TB, s *dnstest.Server, change func(*Options)) *Resolver {
	t.Helper()
	o := Options{Servers: []string{s.Addr}, Timeout: 2 * time.Second,
		IPv6: func() bool { return true }}
	if change != nil {
		change(&o)
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func look(t testing.TB, r *Resolver, domain string) (route *Route, failure string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	route, f := r.Lookup(ctx, domain)
	if (route == nil) == (f == nil) {
		t.Fatalf("Lookup(%q) = %v, %v: want one of the two", domain, route, f)
	}
	if f != nil {
		return nil, f.Enhanced
	}
	return route, ""
}
