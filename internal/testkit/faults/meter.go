package faults

import (
	"sync"
	"sync/atomic"
	"time"
)

// meter tells how much has gone to and from nodes, which is how moments in the middle of something
// are found, and makes the way to a node slow.
type meter struct {
	used atomic.Bool // so that it costs nothing before

	mu      sync.Mutex
	watches []*watch
	rates   map[int]int // octets a second to a node
}

// watch waits for octets to and from a node.
type watch struct {
	node int
	left int
	done chan struct{}
}

// After returns a channel that is closed when so many octets have gone to or from a node.
func (n *Net) After(node, octets int) <-chan struct{} {
	m := &n.meter
	m.used.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &watch{node, octets, make(chan struct{})}
	m.watches = append(m.watches, w)
	return w.done
}

// Slow lets so many octets a second through to a node on each connection, as a narrow line does; 0:
// all that come.
func (n *Net) Slow(node, rate int) {
	m := &n.meter
	m.used.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rates == nil {
		m.rates = map[int]int{}
	}
	m.rates[node] = rate
}

// passed counts octets that have gone one way, and takes the time that a narrow line takes.
func (m *meter) passed(l link, octets int, gone <-chan struct{}) {
	if !m.used.Load() {
		return
	}
	rate := m.count(l, octets)
	if rate == 0 {
		return
	}
	t := time.NewTimer(time.Duration(octets) * time.Second / time.Duration(rate))
	defer t.Stop()
	select {
	case <-t.C:
	case <-gone:
	}
}

func (m *meter) count(l link, octets int) (rate int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.watches[:0]
	for _, w := range m.watches {
		if w.node == l.from || w.node == l.to {
			w.left -= octets
		}
		if w.left <= 0 {
			close(w.done)
		} else {
			rest = append(rest, w)
		}
	}
	m.watches = rest
	return m.rates[l.to]
}
