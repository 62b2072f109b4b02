package node

import (
	"net"

	"github.com/postroad/postroad/cluster/wire"
	"github.com/postroad/postroad/internal/config"
)

// dialFrom dials other members from the address that this node listens on, so that firewalls see
// one address per node, both ways. From an address that stands for all it dials as the system
// chooses.
func dialFrom(cfg *config.Config) wire.DialFunc {
	d := new(net.Dialer)
	if host, _, err := net.SplitHostPort(cfg.Cluster.Listen); err == nil {
		if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
			d.LocalAddr = &net.TCPAddr{IP: ip}
		}
	}
	return d.DialContext
}
