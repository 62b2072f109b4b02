package policy

import (
	"net/netip"
	"sync"
	"time"
)

// Failed log-ins are counted for each client network (an IPv4 address, an IPv6 /64). Less than
// freeFailures are between the session and its client; from there on the network has to wait after
// each, twice as long each time. Only time forgives: a guesser who could wipe out failures by
// logging in to an account of their own would do so.
const (
	freeFailures = 10
	firstWait    = time.Second
	longestWait  = 15 * time.Minute
	forgiveEvery = 6 * time.Minute // one failure less
	// remembered; beyond it the one with the fewest failures out of a few goes
	maxNetworks = 50_000
)

// failures is safe for use by several goroutines.
type failures struct {
	limit int
	now   clock
	mu    struct {
		sync.Mutex
		networks map[netip.Prefix]failing
	}
}

type failing struct {
	count float64 // less one for each forgiveEvery since last
	last  time.Time
	until time.Time // no log-in is tried before
}

func newFailures(limit int, now clock) *failures {
	f := &failures{limit: limit, now: now}
	f.mu.networks = map[netip.Prefix]failing{}
	return f
}

func networkOf(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits) // fails for the zero Addr only, which is a network of its own
	return p
}

func (f *failures) blocked(ip netip.Addr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, ok := f.mu.networks[networkOf(ip)]
	return ok && f.now().Before(n.until)
}

func (f *failures) failed(ip netip.Addr) {
	network := networkOf(ip)
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	n, ok := f.mu.networks[network]
	if ok {
		n.count = max(0, n.count-float64(now.Sub(n.last))/float64(forgiveEvery))
	} else if len(f.mu.networks) >= f.limit {
		f.forgetOne()
	}
	n.count++
	n.last = now
	if over := n.count - freeFailures; over >= 0 {
		n.until = now.Add(min(firstWait<<min(int(over), 20), longestWait))
	}
	f.mu.networks[network] = n
}

// forgetOne uses that a map is walked in random order; f.mu is held.
func (f *failures) forgetOne() {
	var least netip.Prefix
	best, seen := 0.0, 0
	for p, n := range f.mu.networks {
		if seen == 0 || n.count < best {
			least, best = p, n.count
		}
		if seen++; seen == sampled {
			break
		}
	}
	delete(f.mu.networks, least)
}
