package sink

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/config"
)

// maxRemembered is how many clients or envelopes a limit keeps twice; what has not been seen for
// longest is forgotten first.
const maxRemembered = 1 << 19

// memory is a bounded map: two generations, of which the older goes when the younger is full.
type memory[K comparable, V any] struct{ young, old map[K]V }

func (m *memory[K, V]) get(k K) (V, bool) {
	if v, ok := m.young[k]; ok {
		return v, true
	}
	v, ok := m.old[k]
	return v, ok
}

func (m *memory[K, V]) put(k K, v V) {
	if m.young == nil || len(m.young) >= maxRemembered {
		m.young, m.old = map[K]V{}, m.young
	}
	m.young[k] = v
}

// greylist puts off what it has not seen.
type greylist struct {
	delay time.Duration
	seed  maphash.Seed
	mu    struct {
		sync.Mutex
		seen memory[uint64, time.Time]
	}
}

// newGreylist returns nil, which lets everything pass, without a delay.
func newGreylist(delay time.Duration) *greylist {
	if delay == 0 {
		return nil
	}
	return &greylist{delay: delay, seed: maphash.MakeSeed()}
}

func (g *greylist) passes(client netip.Addr, sender, recipient string, now time.Time) bool {
	if g == nil {
		return true
	}
	k := maphash.Comparable(g.seed, [3]string{string(client.AsSlice()), sender, recipient})
	g.mu.Lock()
	defer g.mu.Unlock()
	first, known := g.mu.seen.get(k)
	if !known {
		first = now
	}
	g.mu.seen.put(k, first)
	return now.Sub(first) >= g.delay
}

// window counts the messages of each client in windows of the rate's time; the first message opens
// one.
type window struct {
	rate config.Rate
	mu   struct {
		sync.Mutex
		clients memory[netip.Addr, usage]
	}
}

type usage struct {
	since time.Time
	n     int64
}

// newWindow returns nil, which lets everything pass, without a rate.
func newWindow(rate config.Rate) *window {
	if rate.N == 0 {
		return nil
	}
	return &window{rate: rate}
}

func (w *window) take(client netip.Addr, now time.Time) bool {
	if w == nil {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	u, known := w.mu.clients.get(client)
	if !known || now.Sub(u.since) >= w.rate.Per {
		u = usage{since: now}
	}
	u.n++
	w.mu.clients.put(client, u)
	return u.n <= w.rate.N
}

// openings counts the open connections of each client. It is as large as there are connections.
type openings struct {
	limit int
	mu    struct {
		sync.Mutex
		clients  map[netip.Addr]int
		sessions map[uint64]netip.Addr
	}
}

// newOpenings returns nil, which lets everything pass, without a limit.
func newOpenings(limit int) *openings {
	if limit == 0 {
		return nil
	}
	o := &openings{limit: limit}
	o.mu.clients, o.mu.sessions = map[netip.Addr]int{}, map[uint64]netip.Addr{}
	return o
}

func (o *openings) enter(session uint64, client netip.Addr) bool {
	if o == nil {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.clients[client] >= o.limit {
		return false
	}
	o.mu.clients[client]++
	o.mu.sessions[session] = client
	return true
}

func (o *openings) leave(session uint64) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	client, counted := o.mu.sessions[session]
	if !counted {
		return
	}
	delete(o.mu.sessions, session)
	if o.mu.clients[client]--; o.mu.clients[client] == 0 {
		delete(o.mu.clients, client)
	}
}
