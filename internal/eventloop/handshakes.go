package eventloop

import (
	"container/list"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// handshakes has the TLS handshakes of all connections done, and sees to it that no client network
// keeps the others from theirs.
//
// A handshake needs a place from its begin to its end, for its goroutine and what crypto/tls holds,
// and a turn while it computes: a signature takes as long as the rest of a session. There are as
// many turns as processors. They go round the networks that want one, so that who makes a thousand
// connections waits for them alone. Of the places, of which there are more, a network has an eighth
// at most. When there is none for a newcomer, the handshake gives way whose peer has been silent
// for longest: real ones answer within a second. So what a peer that stalls holds up are others
// that stall.
//
// The road not taken: a shorter limit for all. It cuts honest clients far away off, and whoever
// stalls a bit more often than the limit is short still has all places.
type handshakes struct {
	places     int // Options.Handshakes
	perNetwork int
	turns      int
	grace      time.Duration // that a silent peer surely gets
	mu         struct {
		sync.Mutex
		begun, computing int
		parties          map[netip.Prefix]*party
		ring             list.List // of parties with handshakes that may begin, next first
		again            list.List // of handshakes that have begun and want a turn
		stalled          list.List // of handshakes whose peer is silent, the longest first
		held             list.List // of parties that have as many places as they may
		timer            bool      // a look at who has become old enough to give way is due
	}
}

// party is a client network that does handshakes. Those that we have dialled are one, which has no
// bound of its own.
type party struct {
	network netip.Prefix
	begun   int
	fresh   list.List     // of handshakes without a place
	stalled list.List     // of its handshakes in handshakes.mu.stalled
	place   *list.Element // in handshakes.mu.ring or held; nil: it wants nothing
	held    bool          // it is in held
}

// placesShare is the part of all places that one network may have.
const placesShare = 8

// stallGrace is how long a peer may be silent for before its handshake gives way, if there is no
// place for another.
const stallGrace = time.Second

var errGaveWay = errors.New("the peer was silent, and others waited for its place")

func (q *handshakes) init(places, turns int, grace time.Duration) {
	q.places, q.perNetwork, q.turns, q.grace = places, max(1, places/placesShare), turns, grace
	q.mu.parties = map[netip.Prefix]*party{}
}

// submit has a handshake begin as soon as there is a place and a turn for it. Those that wait are
// never more than connections.
func (q *handshakes) submit(h *handshake) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.partyOf(h)
	h.queued.party = p
	h.queued.waits = p.fresh.PushBack(h)
	if p.place == nil {
		p.place = q.mu.ring.PushBack(p)
	}
	q.dispatch()
}

func (q *handshakes) partyOf(h *handshake) *party {
	network := netip.Prefix{}
	if !h.s.client {
		network = networkOf(h.s.c.remote.Addr())
	}
	p := q.mu.parties[network]
	if p == nil {
		p = &party{network: network}
		q.mu.parties[network] = p
	}
	return p
}

// withdraw takes a handshake back that has not begun: its connection has ended.
func (q *handshakes) withdraw(h *handshake) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p := h.queued.party; p != nil && h.queued.waits != nil {
		p.fresh.Remove(h.queued.waits)
		h.queued.waits = nil
		q.tidy(p)
	}
}

// run is a handshake's goroutine.
func (q *handshakes) run(h *handshake) {
	shake(h.s)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.yield(h)
	q.spoke(h)
	if !h.queued.displaced {
		q.vacate(h)
	}
	q.dispatch()
}

// stall gives up the turn of a handshake that waits for its peer.
func (q *handshakes) stall(h *handshake) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.yield(h)
	if !h.s.client {
		h.queued.since = time.Now()
		h.queued.inAll = q.mu.stalled.PushBack(h)
		h.queued.inParty = h.queued.party.stalled.PushBack(h)
	}
	q.dispatch()
}

// again waits for another turn of a handshake whose peer has spoken.
func (q *handshakes) again(h *handshake) {
	q.mu.Lock()
	q.spoke(h)
	displaced := h.queued.displaced
	if !displaced {
		q.mu.again.PushBack(h)
		q.dispatch()
	}
	q.mu.Unlock()
	if !displaced {
		<-h.queued.turn
	}
}

func (q *handshakes) yield(h *handshake) {
	if h.queued.computes {
		h.queued.computes = false
		q.mu.computing--
	}
}

func (q *handshakes) spoke(h *handshake) {
	if h.queued.inAll != nil {
		q.mu.stalled.Remove(h.queued.inAll)
		h.queued.party.stalled.Remove(h.queued.inParty)
		h.queued.inAll, h.queued.inParty = nil, nil
	}
}

// vacate gives up the place of a handshake.
func (q *handshakes) vacate(h *handshake) {
	p := h.queued.party
	q.mu.begun--
	p.begun--
	q.release(p)
	q.tidy(p)
}

// release lets a party that was held back begin handshakes again.
func (q *handshakes) release(p *party) {
	if p.held {
		q.mu.held.Remove(p.place)
		p.held, p.place = false, q.mu.ring.PushBack(p)
	}
}

// tidy forgets a party that has nothing to wait for, or nothing at all.
func (q *handshakes) tidy(p *party) {
	if p.fresh.Len() > 0 {
		return
	}
	q.release(p)
	if p.place != nil {
		q.mu.ring.Remove(p.place)
		p.place = nil
	}
	if p.begun == 0 {
		delete(q.mu.parties, p.network)
	}
}

// dispatch gives the free turns to who is next.
func (q *handshakes) dispatch() {
	for q.mu.computing < q.turns {
		h := q.next()
		if h == nil {
			return
		}
		h.queued.computes = true
		q.mu.computing++
	}
}

// next returns the handshake that has a turn now: one that goes on, or else the first of the
// network that is next.
func (q *handshakes) next() *handshake {
	if e := q.mu.again.Front(); e != nil {
		h := q.mu.again.Remove(e).(*handshake)
		h.queued.turn <- struct{}{}
		return h
	}
	for e := q.mu.ring.Front(); e != nil; e = q.mu.ring.Front() {
		p := e.Value.(*party)
		if q.full(p) && !q.displace(&p.stalled) {
			q.mu.ring.Remove(e)
			p.held, p.place = true, q.mu.held.PushBack(p)
			continue
		}
		if q.mu.begun >= q.places && !q.displace(&q.mu.stalled) {
			return nil
		}
		return q.begin(p)
	}
	return nil
}

func (q *handshakes) full(p *party) bool { return p.network.IsValid() && p.begun >= q.perNetwork }

// begin begins the first handshake of a party, whose next one has to wait until the others had
// theirs.
func (q *handshakes) begin(p *party) *handshake {
	h := p.fresh.Remove(p.fresh.Front()).(*handshake)
	h.queued.waits = nil
	q.mu.begun++
	p.begun++
	q.mu.ring.MoveToBack(p.place)
	q.tidy(p)
	go q.run(h)
	return h
}

// displace ends the handshake of a list whose peer has been silent for longest, or sees to it that
// this is tried again when it has been for long enough.
func (q *handshakes) displace(stalled *list.List) bool {
	e := stalled.Front()
	if e == nil {
		return false
	}
	h := e.Value.(*handshake)
	if left := q.grace - time.Since(h.queued.since); left > 0 {
		q.lookIn(left)
		return false
	}
	q.spoke(h)
	h.queued.displaced = true
	q.vacate(h)
	h.end(errGaveWay)
	return true
}

func (q *handshakes) lookIn(d time.Duration) {
	if q.mu.timer {
		return
	}
	q.mu.timer = true
	time.AfterFunc(d, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.mu.timer = false
		for e := q.mu.held.Front(); e != nil; e = q.mu.held.Front() {
			q.release(e.Value.(*party))
		}
		q.dispatch()
	})
}

// Lengths of the prefix of a client network, which one customer or site has.
const (
	networkBits4 = 24
	networkBits6 = 56
)

func networkOf(ip netip.Addr) netip.Prefix {
	bits := networkBits6
	if ip.Is4() {
		bits = networkBits4
	}
	p, err := ip.WithZone("").Prefix(bits)
	if err != nil { // of the zero Addr: a peer that is not TCP's
		return netip.PrefixFrom(netip.IPv4Unspecified(), networkBits4)
	}
	return p
}
