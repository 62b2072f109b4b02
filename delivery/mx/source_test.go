package mx

import (
	"net/netip"
	"testing"

	dnstest "github.com/postroad/postroad/internal/testkit/dns"
)

// When others are asked, nothing counts that the ones before have said, and a look-up that waits
// for one that is silent begins again. Whether private addresses are allowed counts at once, too.
func TestConfigure(t *testing.T) {
	arrived, gate := make(chan string, 10), make(chan struct{})
	defer close(gate)
	before := dnstest.Serve(t, "known IN MX 5 m\nslow IN MX 5 m\nm IN A 203.0.113.1\n")
	before.Hold("slow.example", arrived, gate)
	after := dnstest.Serve(t, "known IN MX 5 m\nslow IN MX 5 m\nm IN A 203.0.113.2\n"+
		"inside IN MX 5 p\np IN A 10.0.0.1\n")
	r := newTest(t, before, nil)
	at := func(domain, want string) {
		t.Helper()
		route, f := look(t, r, domain)
		if route == nil || route.Hosts[0].Addrs[0] != netip.MustParseAddr(want) {
			t.Errorf("%s is at %+v, %s, want %s", domain, route, f, want)
		}
	}
	at("known.example", "203.0.113.1")
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		at("slow.example", "203.0.113.2")
	}()
	<-arrived
	configure := func(server string, private, want bool) {
		t.Helper()
		if changed, err := r.Configure([]string{server}, private); err != nil || changed != want {
			t.Errorf("Configure: %v, %v, want %v", changed, err, want)
		}
	}
	configure(before.Addr, false, false)
	configure(after.Addr, false, true)
	<-waiting
	at("known.example", "203.0.113.2")
	if _, f := look(t, r, "inside.example"); f != "5.4.4" {
		t.Errorf("a private address is answered with %s", f)
	}
	configure(after.Addr, true, true)
	at("inside.example", "10.0.0.1")
	if _, err := r.Configure([]string{"no address"}, false); err == nil ||
		CheckServers([]string{"no address"}) == nil {
		t.Error("a server without an address was taken")
	}
	at("inside.example", "10.0.0.1")
}
