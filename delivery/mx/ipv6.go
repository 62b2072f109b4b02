package mx

import (
	"net"
	"sync"
	"time"
)

// ipv6Route finds out, at most once a minute, whether the system has a route to the IPv6 Internet.
// Connecting a UDP socket sends nothing.
type ipv6Route struct {
	mu struct {
		sync.Mutex
		looked time.Time
		ok     bool
	}
}

func (p *ipv6Route) ok() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); p.mu.looked.IsZero() || now.Sub(p.mu.looked) > time.Minute {
		p.mu.looked = now
		c, err := net.Dial("udp6", "[2001:500:2::c]:53") // a root server
		if p.mu.ok = err == nil; err == nil {
			c.Close()
		}
	}
	return p.mu.ok
}
