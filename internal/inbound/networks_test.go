package inbound

import (
	"net/netip"
	"testing"
)

func TestNetworks(t *testing.T) {
	n := NewNetworks(Limits{Connections: 5, ConnectionsPerNetwork: 2, NetworkBits4: 24},
		1000, netip.Addr.IsLoopback)
	d := n.Door("one")
	enter := func(ip string, want Verdict) {
		t.Helper()
		if got := d.Enter(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %v, want %v", ip, got, want)
		}
	}
	enter("192.0.2.1", Admitted)
	enter("::ffff:192.0.2.2", Admitted)
	enter("192.0.2.3", NetworkFull)
	enter("2001:db8::1", Admitted)
	enter("127.0.0.1", Admitted)
	enter("127.0.0.1", Admitted)
	enter("2001:db8::2", ServerFull)
	d.Leave(netip.MustParseAddr("192.0.2.1"))
	enter("192.0.2.3", Admitted)
	n.Configure(Limits{Connections: 7, ConnectionsPerNetwork: 3, NetworkBits4: 8})
	enter("192.0.2.4", Admitted)
	enter("192.0.2.5", NetworkFull)
	enter("192.0.3.5", Admitted) // what a network is stays as it was
	d.Leave(netip.MustParseAddr("192.0.2.4"))
	d.Leave(netip.MustParseAddr("192.0.3.5"))
	n.Configure(Limits{Connections: 1, ConnectionsPerNetwork: 1})
	enter("2001:db8::2", ServerFull) // who is here stays
	for _, ip := range []string{"192.0.2.2", "192.0.2.3", "2001:db8::1", "127.0.0.1", "127.0.0.1"} {
		d.Leave(netip.MustParseAddr(ip))
	}
	if n.mu.open != 0 || len(n.mu.count) != 0 {
		t.Errorf("%d open, %v", n.mu.open, n.mu.count)
	}
}

// A flood at one listener leaves a quarter of the places to the others, and trusted clients find
// theirs at any.
func TestDoors(t *testing.T) {
	n := NewNetworks(Limits{Connections: 100, ConnectionsPerNetwork: 1000}, 16,
		netip.Addr.IsLoopback)
	flooded, other := n.Door("flooded"), n.Door("other")
	if n.Door("flooded") != flooded {
		t.Error("a listener has two counts")
	}
	stranger, trusted := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("127.0.0.1")
	crowded := 0
	n.Crowded = func() { crowded++ }
	for i := range 12 {
		if v := flooded.Enter(stranger); v != Admitted || crowded != i/11 {
			t.Fatalf("connection %d: %v, crowded: %v", i, v, crowded)
		}
	}
	for _, c := range []struct {
		door *Door
		ip   netip.Addr
		want Verdict
	}{
		{flooded, stranger, ServerFull}, {flooded, trusted, Admitted}, {other, stranger, Admitted},
		{other, stranger, Admitted}, {other, stranger, Admitted}, {other, trusted, ServerFull},
	} {
		if v := c.door.Enter(c.ip); v != c.want {
			t.Errorf("%v: %v, want %v", c.ip, v, c.want)
		}
	}
}

// TestBalancers: a connection of a balancer has no place before its header has come.
func TestBalancers(t *testing.T) {
	n := NewNetworks(Limits{}, 1000, netip.Addr.IsLoopback)
	d, from := n.Door("one"), []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	balancer, client := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	for _, c := range []struct {
		ip   netip.Addr
		open int
	}{{balancer, 0}, {client, 1}} {
		if v := d.Accepted(c.ip, from); v != Admitted || n.mu.open != c.open {
			t.Errorf("%v: %v, %d open", c.ip, v, n.mu.open)
		}
		if d.Lost(c.ip, from); n.mu.open != 0 {
			t.Errorf("%v is lost: %d open", c.ip, n.mu.open)
		}
	}
}
