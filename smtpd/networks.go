package smtpd

import (
	"net/netip"
	"sync"

	"github.com/postroad/postroad/internal/smtp"
)

var errNetworkFull = closing(smtp.Temp(421, "4.7.0", "Too many connections from your network; try again later"))
var errServerFull = closing(smtp.Temp(421, "4.3.2", "Too many connections; try again later"))

// networks counts the admitted sessions in all and of each client network. Safe for use by several goroutines. It holds one
// entry a network with open sessions, so that it is bounded by the number of connections.
type networks struct {
	total, each  int // limits
	bits4, bits6 int
	exempt       func(netip.Addr) bool // from each
	mu           struct {
		sync.Mutex
		open  int
		count map[netip.Prefix]int
	}
}

func newNetworks(o *Options) *networks {
	l := &o.Limits
	n := &networks{total: l.Connections, each: l.ConnectionsPerNetwork, bits4: l.NetworkBits4, bits6: l.NetworkBits6, exempt: o.Trusted}
	n.mu.count = map[netip.Prefix]int{}
	return n
}

// enter counts a session, or says why there may be no further one.
func (n *networks) enter(ip netip.Addr) *smtp.Failure {
	network, exempt := n.of(ip), n.exempt(ip)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.mu.open >= n.total:
		return errServerFull
	case !exempt && n.mu.count[network] >= n.each:
		return errNetworkFull
	}
	n.mu.open++
	n.mu.count[network]++
	return nil
}

func (n *networks) leave(ip netip.Addr) {
	network := n.of(ip)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.open--
	if n.mu.count[network]--; n.mu.count[network] == 0 {
		delete(n.mu.count, network)
	}
}

// of returns the network of a client.
func (n *networks) of(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := n.bits6
	if ip.Is4() {
		bits = n.bits4
	}
	p, _ := ip.WithZone("").Prefix(bits)
	return p
}
