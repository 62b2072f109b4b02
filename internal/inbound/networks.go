package inbound

import (
	"cmp"
	"net/netip"
	"sync"
)

// Limits of a server's clients. The zero value of a field means its default.
type Limits struct {
	// of this server; default 10,000. One of several listeners has three quarters of them at most.
	Connections           int
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

// Networks counts the connections of a server: in all, of each client network and of each listener.
// Safe for use by several goroutines. It holds one entry a network with open connections, so that
// it is bounded by their number.
type Networks struct {
	// Crowded hears, before the first connection, that there are so many that room should be made.
	Crowded      func()
	exempt       func(netip.Addr) bool
	most         int // connections that there can be at all
	bits4, bits6 int
	mu           struct {
		sync.Mutex
		connections, perNetwork int // the limits
		open                    int
		count                   map[netip.Prefix]int
		doors                   map[string]*Door
	}
}

// Door is one listener of a server, by its name. A flood at one leaves a quarter of all places to
// the others.
type Door struct {
	networks *Networks
	open     int // guarded by networks.mu
}

// NewNetworks returns a count of nobody. most is what the process can bear, whatever the limits
// say. Clients that are exempt have no limit for their network and listener.
func NewNetworks(l Limits, most int, exempt func(netip.Addr) bool) *Networks {
	n := &Networks{Crowded: func() {}, exempt: exempt, most: most,
		bits4: cmp.Or(l.NetworkBits4, 32), bits6: cmp.Or(l.NetworkBits6, 64)}
	n.mu.count, n.mu.doors = map[netip.Prefix]int{}, map[string]*Door{}
	n.Configure(l)
	return n
}

// Configure puts other limits in force, for connections that begin from now on; those that were
// admitted stay. What a network is does not change: those that are counted are counted by it.
func (n *Networks) Configure(l Limits) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.connections = min(cmp.Or(l.Connections, 10_000), n.most)
	n.mu.perNetwork = cmp.Or(l.ConnectionsPerNetwork, 100)
}

// Door returns the listener of a name, which keeps its count from one configuration to the next.
func (n *Networks) Door(name string) *Door {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := n.mu.doors[name]
	if d == nil {
		d = &Door{networks: n}
		n.mu.doors[name] = d
	}
	return d
}

// Accepted admits a connection that was just accepted: it has cost nothing yet, neither a place on
// a loop nor a handshake. One of a balancer's, which are listed, has its place later, by Enter,
// when the PROXY header has said whose it is.
func (d *Door) Accepted(ip netip.Addr, balancers []netip.Prefix) Verdict {
	if Listed(balancers, ip) {
		return Admitted
	}
	return d.Enter(ip)
}

// Lost takes back an Accepted that admitted.
func (d *Door) Lost(ip netip.Addr, balancers []netip.Prefix) {
	if !Listed(balancers, ip) {
		d.Leave(ip)
	}
}

// Enter counts a connection, or says why there may be no further one.
func (d *Door) Enter(ip netip.Addr) Verdict {
	v, crowded := d.enter(ip)
	if crowded {
		d.networks.Crowded()
	}
	return v
}

func (d *Door) enter(ip netip.Addr) (v Verdict, crowded bool) {
	n := d.networks
	network, exempt := n.of(ip), n.exempt(ip)
	n.mu.Lock()
	defer n.mu.Unlock()
	most := n.mu.connections
	if len(n.mu.doors) > 1 && !exempt {
		most -= most / 4
	}
	crowded = n.mu.open >= n.mu.connections-n.mu.connections/8 || d.open >= most-most/8
	switch {
	case n.mu.open >= n.mu.connections, d.open >= most:
		return ServerFull, crowded
	case !exempt && n.mu.count[network] >= n.mu.perNetwork:
		return NetworkFull, crowded
	}
	n.mu.open++
	n.mu.count[network]++
	d.open++
	return Admitted, crowded
}

// Leave takes back an Enter that admitted.
func (d *Door) Leave(ip netip.Addr) {
	n := d.networks
	network := n.of(ip)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.open--
	d.open--
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
