package inbound

import (
	"cmp"
	"net/netip"
	"sync"
)

// Limits of a server's clients. The zero value of a field means its default.
type Limits struct {
	Connections           int // of this server; default 10,000
	ConnectionsPerNetwork int // of one client network; default 100
	NetworkBits4          int // prefix length of a client network, IPv4; default 32
	NetworkBits6          int // the same for IPv6; default 64
}

// Verdict is what Enter says.
type Verdict uint8

const (
	Admitted Verdict = iota
	ServerFull
	NetworkFull
)

// Networks counts the admitted sessions in all and of each client network. Safe for use by several
// goroutines. It holds one entry a network with open sessions, so that it is bounded by the number
// of connections.
type Networks struct {
	exempt       func(netip.Addr) bool
	bits4, bits6 int
	mu           struct {
		sync.Mutex
		connections, perNetwork int // the limits
		open                    int
		count                   map[netip.Prefix]int
	}
}

// NewNetworks returns a count of nobody. Clients that are exempt have no limit for their network.
func NewNetworks(l Limits, exempt func(netip.Addr) bool) *Networks {
	n := &Networks{exempt: exempt, bits4: cmp.Or(l.NetworkBits4, 32),
		bits6: cmp.Or(l.NetworkBits6, 64)}
	n.mu.count = map[netip.Prefix]int{}
	n.Configure(l)
	return n
}

// Configure puts other limits in force, for sessions that begin from now on; those that were
// admitted stay. What a network is does not change: those that are counted are counted by it.
func (n *Networks) Configure(l Limits) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.connections = cmp.Or(l.Connections, 10_000)
	n.mu.perNetwork = cmp.Or(l.ConnectionsPerNetwork, 100)
}

// Enter counts a session, or says why there may be no further one.
func (n *Networks) Enter(ip netip.Addr) Verdict {
	network, exempt := n.of(ip), n.exempt(ip)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.mu.open >= n.mu.connections:
		return ServerFull
	case !exempt && n.mu.count[network] >= n.mu.perNetwork:
		return NetworkFull
	}
	n.mu.open++
	n.mu.count[network]++
	return Admitted
}

// Leave takes back an Enter that admitted.
func (n *Networks) Leave(ip netip.Addr) {
	network := n.of(ip)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.open--
	if n.mu.count[network]--; n.mu.count[network] == 0 {
		delete(n.mu.count, network)
	}
}

// of returns the network of a client.
func (n *Networks) of(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := n.bits6
	if ip.Is4() {
		bits = n.bits4
	}
	p, _ := ip.WithZone("").Prefix(bits)
	return p
}
