// Package timers is a heap of timers that belong to somebody: what is put off until a time finds
// its place in it, and leaves it, without a search. It knows no clock.
package timers

import "time"

// Timer calls Fire at a time, once. The zero value is not set.
type Timer struct {
	Fire func(now time.Time)
	at   time.Time
	i    int // place in the heap + 1; 0: not set
}

// Heap has the timers that are set, the earliest first. Not safe for use by several goroutines.
type Heap []*Timer

// Set moves a to at.
func (h *Heap) Set(a *Timer, at time.Time) {
	if a.i == 0 {
		*h = append(*h, a)
		a.i = len(*h)
	} else if a.at.Equal(at) {
		return
	}
	a.at = at
	h.down(h.up(a.i - 1))
}

// SetEarlier sets a unless it fires earlier anyway.
func (h *Heap) SetEarlier(a *Timer, at time.Time) {
	if a.i == 0 || at.Before(a.at) {
		h.Set(a, at)
	}
}

// Stop takes a out.
func (h *Heap) Stop(a *Timer) {
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

// Due takes out and returns the earliest timer if its time has come.
func (h *Heap) Due(now time.Time) *Timer {
	if len(*h) == 0 || (*h)[0].at.After(now) {
		return nil
	}
	a := (*h)[0]
	h.Stop(a)
	return a
}

// Next is when the earliest timer fires.
func (h Heap) Next() (time.Time, bool) {
	if len(h) == 0 {
		return time.Time{}, false
	}
	return h[0].at, true
}

func (h Heap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].i, h[j].i = i+1, j+1
}

func (h Heap) up(i int) int {
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

func (h Heap) down(i int) {
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
