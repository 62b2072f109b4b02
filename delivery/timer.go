package delivery

import "time"

// timer wakes a destination or a site. Owned by the core.
type timer struct {
	at   time.Time
	fire func(now time.Time)
	i    int // place in the heap + 1; 0: not set
}

// timers is a heap of timers, the earliest first. It is touched when something is put off, never
// per message.
type timers []*timer

// set moves a to at.
func (h *timers) set(a *timer, at time.Time) {
	if a.i == 0 {
		*h = append(*h, a)
		a.i = len(*h)
	} else if a.at.Equal(at) {
		return
	}
	a.at = at
	h.down(h.up(a.i - 1))
}

// setEarlier sets a unless it fires earlier anyway.
func (h *timers) setEarlier(a *timer, at time.Time) {
	if a.i == 0 || at.Before(a.at) {
		h.set(a, at)
	}
}

// stop takes a out.
func (h *timers) stop(a *timer) {
	if a.i == 0 {
		return
	}
	i, last := a.i-1, len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	a.i = 0
	if i < last {
		h.down(h.up(i))
	}
}

// due takes out and returns the earliest timer if its time has come.
func (h *timers) due(now time.Time) *timer {
	if len(*h) == 0 || (*h)[0].at.After(now) {
		return nil
	}
	a := (*h)[0]
	h.stop(a)
	return a
}

// next is when the earliest timer fires.
func (h timers) next() (time.Time, bool) {
	if len(h) == 0 {
		return time.Time{}, false
	}
	return h[0].at, true
}

func (h timers) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].i, h[j].i = i+1, j+1
}

func (h timers) up(i int) int {
	for i > 0 {
		p := (i - 1) / 2
		if !h[i].at.Before(h[p].at) {
			break
		}
		h.swap(i, p)
		i = p
	}
	return i
}

func (h timers) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].at.Before(h[c].at) {
			c++
		}
		if !h[c].at.Before(h[i].at) {
			return
		}
		h.swap(i, c)
		i = c
	}
}
