package member

import (
	"net"

	"github.com/postroad/postroad/cluster/wire"
)

// DialFrom dials other members from the address that this node listens on, so that firewalls see
// one address per node, both ways. From an address that stands for all it dials as the system
// chooses.
func DialFrom(listen string) wire.DialFunc {
	d := new(net.Dialer)
	if host, _, err := net.SplitHostPort(listen); err == nil {
		if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
			d.LocalAddr = &net.TCPAddr{IP: ip}
		}
	}
	return d.DialContext
}
