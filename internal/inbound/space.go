package inbound

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// Space shares the free room of a disk among the mail on its way in. What a look at the disk shows
// is true for mail that lies there already; Space counts what is promised and not written yet, so
// that no second message is promised the same room. Every message takes its part before it is
// stored. A large one, which goes through a spill file and so lies there twice for a moment, takes
// it while it comes in, and its client network has a quarter at most.
//
// A message that was stored gives its part back at the next look, which sees it. The way of small
// messages is three atomic additions and no lock. Safe for use by several goroutines.
type Space struct {
	bits4, bits6 int
	exempt       func(netip.Addr) bool
	room         atomic.Int64 // octets that may be promised, with those that are
	promised     atomic.Int64
	landed       atomic.Int64 // of promised: stored since the last look
	spilled      atomic.Int64 // in spill files: on the disk already, and promised, too
	mu           struct {
		sync.Mutex
		networks map[netip.Prefix]int64 // octets of large messages, once each
	}
}

const (
	// spaceCopies is how often a large message lies on the disk at most.
	spaceCopies = 2
	// networkShare is the part of the room that one network's large messages may have, and
	// smallShare the part that large ones leave to small ones.
	networkShare = 4
	smallShare   = 4
)

// NewSpace returns a Space without bounds until the first Look. What a network is, and who is
// exempt from its bound, is as with Networks.
func NewSpace(l Limits, exempt func(netip.Addr) bool) *Space {
	n := NewNetworks(l, 0, exempt)
	s := &Space{bits4: n.bits4, bits6: n.bits6, exempt: exempt}
	s.mu.networks = map[netip.Prefix]int64{}
	s.room.Store(1 << 62)
	return s
}

// Look takes what is free on the disk for mail, in octets, which free finds out.
func (s *Space) Look(free func() (int64, bool)) {
	landed := s.landed.Swap(0) // before the look: it sees them
	spilled := s.spilled.Load()
	if octets, ok := free(); ok {
		s.room.Store(max(octets, 0) + spilled)
	}
	s.promised.Add(-landed)
}

// Left returns how many octets can be promised now.
func (s *Space) Left() int64 { return s.room.Load() - s.promised.Load() }

// promise promises n octets, unless there would be more than most.
func (s *Space) promise(n, most int64) bool {
	if s.promised.Add(n) > most {
		s.promised.Add(-n)
		return false
	}
	return true
}

// Part is the room of one message. It is one goroutine's at a time. The zero Part of no Space has
// any room.
type Part struct {
	space   *Space
	client  netip.Addr
	user    bool  // the network's bound does not hold
	large   int64 // octets that it may have as a large message
	spilled int64
	taken   int64 // of Space.promised
}

// Begin begins a part, which is empty.
func (s *Space) Begin(client netip.Addr) Part {
	if s == nil {
		return Part{}
	}
	return Part{space: s, client: client}
}

// Free says that the network's bound does not hold for this message: a user submits it.
func (p *Part) Free() { p.user = true }

func (p *Part) network() netip.Prefix {
	n := Networks{bits4: p.space.bits4, bits6: p.space.bits6}
	return n.of(p.client)
}

// Grow makes room for a message that is large and has n octets, or reports that there is none.
func (p *Part) Grow(n int64) bool {
	if p.space == nil || n <= p.large {
		return true
	}
	s, more, network := p.space, n-p.large, p.network()
	bound := !p.user && !s.exempt(p.client)
	s.mu.Lock()
	defer s.mu.Unlock()
	room := s.room.Load()
	if bound && s.mu.networks[network]+more > room/networkShare ||
		!s.promise(spaceCopies*more, room-room/smallShare) {
		return false
	}
	s.mu.networks[network] += more
	p.large, p.taken = n, p.taken+spaceCopies*more
	return true
}

// Spilled says that n octets more are in the message's spill file.
func (p *Part) Spilled(n int64) {
	if p.space != nil {
		p.space.spilled.Add(n)
		p.spilled += n
	}
}

// Store makes room for a message of n octets that is to be stored now; for a large one there is.
func (p *Part) Store(n int64) bool {
	if p.space == nil || n <= p.large {
		return true
	}
	more := n - p.large
	if !p.space.promise(more, p.space.room.Load()) {
		return false
	}
	p.taken += more
	return true
}

// End gives the part back. stored: the message is on the disk, where the next look sees it.
func (p *Part) End(stored bool) {
	s := p.space
	if s == nil {
		return
	}
	if p.large > 0 {
		network := p.network()
		s.mu.Lock()
		if s.mu.networks[network] -= p.large; s.mu.networks[network] == 0 {
			delete(s.mu.networks, network)
		}
		s.mu.Unlock()
		s.spilled.Add(-p.spilled)
	}
	if stored {
		s.landed.Add(p.taken)
	} else {
		s.promised.Add(-p.taken)
	}
	*p = Part{}
}
