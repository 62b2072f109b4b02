package inbound

import (
	"net/netip"
	"testing"
)

func TestNetworks(t *testing.T) {
	n := NewNetworks(Limits{Connections: 5, ConnectionsPerNetwork: 2, NetworkBits4: 24},
		netip.Addr.IsLoopback)
	enter := func(ip string, want Verdict) {
		t.Helper()
		if got := n.Enter(netip.MustParseAddr(ip)); got != want {
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
	n.Leave(netip.MustParseAddr("192.0.2.1"))
	enter("192.0.2.3", Admitted)
	n.Configure(Limits{Connections: 7, ConnectionsPerNetwork: 3, NetworkBits4: 8})
	enter("192.0.2.4", Admitted)
	enter("192.0.2.5", NetworkFull)
	enter("192.0.3.5", Admitted) // what a network is stays as it was
	n.Leave(netip.MustParseAddr("192.0.2.4"))
	n.Leave(netip.MustParseAddr("192.0.3.5"))
	n.Configure(Limits{Connections: 1, ConnectionsPerNetwork: 1})
	enter("2001:db8::2", ServerFull) // who is here stays
	for _, ip := range []string{"192.0.2.2", "192.0.2.3", "2001:db8::1", "127.0.0.1", "127.0.0.1"} {
		n.Leave(netip.MustParseAddr(ip))
	}
	if n.mu.open != 0 || len(n.mu.count) != 0 {
		t.Errorf("%d open, %v", n.mu.open, n.mu.count)
	}
}
