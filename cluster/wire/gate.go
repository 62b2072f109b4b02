package wire

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// gate bounds the connections whose peers are not known yet. When it is full the oldest goes, but
// each has grace for itself: so neither strangers that say nothing nor a crowd of members after a
// restart keep each other out for long.
type gate struct {
	limit int
	grace time.Duration
	freed chan struct{}
	mu    struct {
		sync.Mutex
		places []*place // oldest first
	}
}

type place struct {
	conn  net.Conn
	since time.Time
}

func newGate(limit int, grace time.Duration) *gate {
	return &gate{limit: limit, grace: grace, freed: make(chan struct{}, 1)}
}

// enter waits for a place. nil: ctx has ended.
func (g *gate) enter(ctx context.Context, c net.Conn) *place {
	for {
		p, wait := g.try(c)
		if p != nil {
			return p
		}
		timer := time.NewTimer(wait)
		select {
		case <-g.freed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		timer.Stop()
	}
}

// try takes a place, the oldest one if it must and may, or says how long that one still has.
func (g *gate) try(c net.Conn) (*place, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if len(g.mu.places) >= g.limit {
		oldest := g.mu.places[0]
		if left := g.grace - now.Sub(oldest.since); left > 0 {
			return nil, left
		}
		oldest.conn.Close()
		g.mu.places = slices.Delete(g.mu.places, 0, 1)
	}
	p := &place{c, now}
	g.mu.places = append(g.mu.places, p)
	return p, 0
}

// leave gives a place up. It may have been taken away before.
func (g *gate) leave(p *place) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.mu.places, p); i >= 0 {
		g.mu.places = slices.Delete(g.mu.places, i, i+1)
	}
	select {
	case g.freed <- struct{}{}:
	default:
	}
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
