package wire

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// gate bounds the connections whose peers are not known yet. Nobody waits at it, or those behind a
// flood would wait for the flood: a connection has a place at once, or is closed.
//
// Addresses at which a member has shown who it is, in either direction, have places of their own.
// So whatever strangers do, members meet each other only. A member that has a new address shares
// the strangers' places until it has been let in once: there one address has a quarter at most, and
// when all are taken, the oldest is let go that has had its grace, which is more than a member
// needs. A peer that says nothing at all is let go before that (Port.greet).
type gate struct {
	strangers, members bounds
	grace              time.Duration
	mu                 struct {
		sync.Mutex
		strangers, members room
		known              map[netip.Addr]time.Time // when a member was last seen there
	}
}

// bounds are how many places there are, in all and for one address.
type bounds struct{ all, perAddress int }

// room holds the places that are taken, the oldest first.
type room struct {
	places []*place
	count  map[netip.Addr]int
}

type place struct {
	conn    net.Conn
	address netip.Addr
	since   time.Time
	in      *room
}

// maxKnown bounds the addresses that are remembered; the one where a member was seen longest ago
// goes.
const maxKnown = 1024

func newGate(strangers, members bounds, grace time.Duration) *gate {
	g := &gate{strangers: strangers, members: members, grace: grace}
	g.mu.strangers.count, g.mu.members.count = map[netip.Addr]int{}, map[netip.Addr]int{}
	g.mu.known = map[netip.Addr]time.Time{}
	return g
}

// enter takes a place, the oldest one if it must and may. nil: there is none.
func (g *gate) enter(c net.Conn) *place {
	address := addressOf(c)
	g.mu.Lock()
	defer g.mu.Unlock()
	in, b := &g.mu.strangers, g.strangers
	if _, ok := g.mu.known[address]; ok {
		in, b = &g.mu.members, g.members
	}
	now := time.Now()
	if in.count[address] >= b.perAddress && !g.displaceLocked(in, now, func(p *place) bool {
		return p.address == address
	}) || len(in.places) >= b.all && !g.displaceLocked(in, now, func(*place) bool { return true }) {
		return nil
	}
	p := &place{c, address, now, in}
	in.places = append(in.places, p)
	in.count[address]++
	return p
}

// displaceLocked lets the oldest of some places go, if it has had its grace.
func (g *gate) displaceLocked(in *room, now time.Time, of func(*place) bool) bool {
	i := slices.IndexFunc(in.places, of)
	if i < 0 || now.Sub(in.places[i].since) < g.grace {
		return false
	}
	in.places[i].conn.Close()
	in.drop(i)
	return true
}

func (r *room) drop(i int) {
	p := r.places[i]
	r.places = slices.Delete(r.places, i, i+1)
	if r.count[p.address]--; r.count[p.address] == 0 {
		delete(r.count, p.address)
	}
}

// leave gives a place up. It may have been taken away before.
func (g *gate) leave(p *place) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(p.in.places, p); i >= 0 {
		p.in.drop(i)
	}
}

// learn notes the address of a connection whose peer is a member.
func (g *gate) learn(c net.Conn) {
	address := addressOf(c)
	if !address.IsValid() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.known[address] = time.Now()
	if len(g.mu.known) <= maxKnown {
		return
	}
	oldest := address
	for a, seen := range g.mu.known {
		if seen.Before(g.mu.known[oldest]) {
			oldest = a
		}
	}
	delete(g.mu.known, oldest)
}

// addressOf returns the other end's address; not valid: it is not TCP's.
func addressOf(c net.Conn) netip.Addr {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap()
}

// patient is a connection whose peer has to say something soon, and has more time once it has.
type patient struct {
	net.Conn
	until time.Time // that the deadline becomes with the first octet; zero: it has
}

// Read implements net.Conn.
func (c *patient) Read(p []byte) (n int, err error) {
	n, err = c.Conn.Read(p)
	if n > 0 && !c.until.IsZero() {
		err = c.Conn.SetDeadline(c.until)
		c.until = time.Time{}
	}
	return n, err
}

// limiter lets one line a second through and counts the others.
type limiter struct {
	mu struct {
		sync.Mutex
		last    time.Time
		skipped int
	}
}

func (l *limiter) allow(now time.Time) (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.mu.last) < time.Second {
		l.mu.skipped++
		return 0, false
	}
	skipped, l.mu.skipped, l.mu.last = l.mu.skipped, 0, now
	return skipped, true
}
