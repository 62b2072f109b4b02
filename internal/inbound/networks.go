package inbound

import (
	"net/netip"
	"sync"
)

// Limits of a server's clients.
type Limits struct {
	Total        int                   // sessions in all
	Each         int                   // sessions of one network
	Bits4, Bits6 int                   // prefix lengths of a network
	Exempt       func(netip.Addr) bool // from Each
}

// Verdict is what Enter says.
type Verdict uint8

const (
	Admitted Verdict = iota
	ServerFull
	NetworkFull
)

// Networks counts the admitted sessions in all and of each client network. Safe for use by several goroutines. It holds one
// entry a network with open sessions, so that it is bounded by the number of connections.
type Networks struct {
	limits Limits
	mu     struct {
		sync.Mutex
		open  int
		count map[netip.Prefix]int
	}
}

// NewNetworks returns a count of nobody.
func NewNetworks(l Limits) *Networks {
	n := &Networks{limits: l}
	n.mu.count = map[netip.Prefix]int{}
	return n
}

// Enter counts a session, or says why there may be no further one.
func (n *Networks) Enter(ip netip.Addr) Verdict {
	network, exempt := n.of(ip), n.limits.Exempt(ip)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.mu.open >= n.limits.Total:
		return ServerFull
	case !exempt && n.mu.count[network] >= n.limits.Each:
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
	bits := n.limits.Bits6
	if ip.Is4() {
		bits = n.limits.Bits4
	}
	p, _ := ip.WithZone("").Prefix(bits)
	return p
}
